"""Frames as HDF5 chunks: cut along time within a few rows, deflated.

A chunk holds a few rows of one channel over up to 256 steps. Successive frames repeat each other, and in this
order the repetition lies a few hundred bytes back, well within reach of deflate; in whole frames it lies 12 KiB
back (the size that results: ``benchmarks/speed/file_size.py``). Any HDF5 reader opens the result: it is the
ordinary gzip filter. ISA-L writes and reads the same format several times faster than zlib.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from isal import igzip_lib, isal_zlib

__all__ = ["FrameChunks", "read_frames"]

MAX_STEPS = 256
CHUNK_BYTES = 65536
LEVEL = 1


def _chunk_shape(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    steps, channels, height, width = shape
    pieces = -(-steps // MAX_STEPS)
    steps = -(-steps // pieces)
    if steps * channels * height * width <= CHUNK_BYTES:
        return steps, channels, height, width
    rows = 1
    while rows * 2 <= height and steps * rows * 2 * width <= CHUNK_BYTES:
        rows *= 2
    return steps, 1, rows, width


def _origins(shape: tuple[int, ...], chunk: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    for block in np.ndindex(*(-(-s // c) for s, c in zip(shape, chunk, strict=True))):
        yield tuple(b * c for b, c in zip(block, chunk, strict=True))


class FrameChunks:
    """The compressed chunks of one episode's frames.

    Args:
        frames: uint8 ``(L, C, H, W)``.
    """

    def __init__(self, frames: npt.NDArray[np.uint8]) -> None:
        self.shape = frames.shape
        self.chunk = _chunk_shape(frames.shape)
        self._data = [(origin, self._compress(frames, origin)) for origin in _origins(self.shape, self.chunk)]

    def _compress(self, frames: npt.NDArray[np.uint8], origin: tuple[int, ...]) -> bytes:
        piece = frames[tuple(slice(o, o + c) for o, c in zip(origin, self.chunk, strict=True))]
        if piece.shape != self.chunk:  # HDF5 stores whole chunks, also at the edges
            whole = np.zeros(self.chunk, np.uint8)
            whole[tuple(slice(s) for s in piece.shape)] = piece
            piece = whole
        compressed: bytes = isal_zlib.compress(np.ascontiguousarray(piece), LEVEL)
        return compressed

    def write(self, group: h5py.Group, name: str) -> None:
        """Stores the chunks as dataset ``name``."""
        dataset = group.create_dataset(
            name, self.shape, np.uint8, chunks=self.chunk, compression="gzip", compression_opts=LEVEL
        )
        for origin, data in self._data:
            dataset.id.write_direct_chunk(origin, data)


def read_frames(dataset: h5py.Dataset) -> Callable[[], npt.NDArray[Any]]:
    """Reads a dataset's bytes now and returns the function that decompresses them, for another thread to call.

    HDF5 works one call at a time, decompressing does not: this split is what makes loading fast.

    Raises:
        OSError, ValueError: If the data is damaged; the returned function raises the same.
    """
    plain_gzip = dataset.compression == "gzip" and not (
        dataset.shuffle or dataset.fletcher32 or dataset.scaleoffset
    )
    chunks = []
    if plain_gzip and dataset.dtype == np.uint8 and dataset.size:
        chunks = [(o, *dataset.id.read_direct_chunk(o)) for o in _origins(dataset.shape, dataset.chunks)]
    if not chunks or any(mask for _, mask, _ in chunks):
        whole: npt.NDArray[Any] = dataset[()]
        return lambda: whole
    name, shape, chunk = dataset.name, dataset.shape, dataset.chunks

    def decompress() -> npt.NDArray[Any]:
        out = np.empty(shape, np.uint8)
        size = int(np.prod(chunk))
        for origin, _, data in chunks:
            try:
                inflated = isal_zlib.decompressobj()
                flat = np.frombuffer(inflated.decompress(data, size + 1), np.uint8)  # never more than it may have
            except igzip_lib.IsalError as error:  # type: ignore[misc]
                raise OSError(f"a chunk of {name} does not decompress: {error}") from error
            if len(flat) != size or not inflated.eof:
                raise OSError(f"a chunk of {name} has {len(flat)} bytes or more: expected {size}")
            target = out[tuple(slice(o, o + c) for o, c in zip(origin, chunk, strict=True))]
            target[...] = flat.reshape(chunk)[tuple(slice(s) for s in target.shape)]
        return out

    return decompress
