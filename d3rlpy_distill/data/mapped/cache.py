"""The frames of a dataset file, inflated once into a file that is mapped into memory.

The file belongs to one dataset file, byte for byte, and is made again from it at any time. It holds, one after the
other: a header of 4096 bytes; the observations of all steps, in the order of the episodes; the small columns, as
NumPy writes them: the episodes' lengths and ends, the actions, the rewards, and a CRC-32 of each observation.

The header and the small columns are checked when the file is opened, an observation when it is first read.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import math
import mmap
import os
import shutil
import time
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from d3rlpy.dataset import EpisodeBase
from isal import isal_zlib

from ...errors import DamagedFileError, InUseError, OutputPathError
from ...files import appears_atomically, claimed

__all__ = ["SUFFIX", "FrameCache", "find_cache", "make_cache"]

SUFFIX = ".frames"
"""What the file's name adds to the dataset's."""

MAGIC = b"d3rlpy-distill frames 1\n"
HEADER = 4096
RESIDENT = 1 << 30
"""Bytes of the mapped file that a process keeps in its resident memory; what it reads beyond is let go first."""

FAULT = 1 << 18  # bytes that Linux maps around pages that are read: 64 KiB, or a large page of its cache
SPARE = 1 << 28  # bytes that stay free on the disk
POLL = 0.2  # seconds between two looks whether another process has made the file
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Columns(NamedTuple):
    """All but the observations, of E episodes with S steps.

    Args:
        lengths: Steps of each episode, int64 ``(E,)``; they sum to S.
        terminated: Whether each ended, rather than timed out, bool ``(E,)``.
        actions: ``(S, 1)`` or ``(S, D)``.
        rewards: ``(S, 1)``.
        checks: CRC-32 of each observation, uint32 ``(S,)``.
    """

    lengths: npt.NDArray[np.int64]
    terminated: npt.NDArray[np.bool_]
    actions: npt.NDArray[Any]
    rewards: npt.NDArray[Any]
    checks: npt.NDArray[np.uint32]


class FrameCache:
    """An open cache of frames.

    Sent to another process of this machine, it is opened there again; sent elsewhere, it is sent whole.

    Args:
        frames: All observations, ``(S, ...)``, read-only.
        columns: The rest.
        path: The file; None for frames that another machine sent.
        source: SHA-256 of the dataset file that it belongs to.
        mapping: The frames' memory, where it is a file's.
        descriptor: The open file, likewise; closed with this object.
    """

    def __init__(
        self,
        frames: npt.NDArray[Any],
        columns: Columns,
        path: Path | None = None,
        source: str = "",
        mapping: mmap.mmap | None = None,
        descriptor: int | None = None,
    ) -> None:
        self._frames, self.columns, self.path, self._source, self._mapping = frames, columns, path, source, mapping
        self._descriptor = descriptor
        if descriptor is not None:
            weakref.finalize(self, os.close, descriptor)
        self.stops: npt.NDArray[np.int64] = np.cumsum(columns.lengths)
        self.starts: npt.NDArray[np.int64] = self.stops - columns.lengths
        self._checked = np.zeros(len(frames), np.bool_)
        self._touched = 0

    @classmethod
    def open(cls, path: Path, source: str) -> FrameCache:
        """Opens a cache.

        Args:
            path: The file.
            source: SHA-256 of the dataset file that it has to belong to.

        Raises:
            DamagedFileError: If it is none, another file's, cut short or damaged.
            OSError: If it cannot be read.
            MemoryError: If the system gives no room to map it.
        """
        with path.open("rb") as file:
            shape, dtype, columns = _read_columns(path, file, source)
            size = math.prod(shape) * dtype.itemsize
            try:
                mapping = mmap.mmap(file.fileno(), HEADER + size, access=mmap.ACCESS_READ)
            except OSError as error:
                if error.errno != errno.ENOMEM:
                    raise
                raise MemoryError(f"{path}: the system gives no {size / 1e9:.1f} GB of addresses") from error
            # what fits stays mapped; of more, to read a frame is faster than to map it and to let it go
            descriptor = os.dup(file.fileno()) if size > RESIDENT and hasattr(os, "preadv") else None
        frames = np.frombuffer(mapping, dtype, math.prod(shape), HEADER).reshape(shape)
        return cls(frames, columns, path, source, mapping, descriptor)

    def reduce_here(self) -> tuple[Any, ...]:
        """How another process of this machine gets it; see :class:`~...executors.mapped.OnThisMachine`."""
        return self.__reduce__() if self.path is None else (FrameCache.open, (self.path, self._source))

    def __reduce__(self) -> tuple[Any, ...]:
        return FrameCache, (self._frames, self.columns)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one observation, as it is stored."""
        return self._frames.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the observations."""
        return self._frames.dtype

    def read(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Returns the observations of the steps ``rows`` ``(M,)``, a copy, ``(M, ...)``.

        Raises:
            DamagedFileError: If one is not as it was written.
        """
        if self._descriptor is None or not len(rows):
            out: npt.NDArray[Any] = self._frames[rows]
        else:
            out = np.empty((len(rows), *self.shape), self.dtype)
            self._read_into(out.data.cast("B"), self._descriptor, rows)
        self._check(rows, out)
        return out

    def episode(self, i: int) -> npt.NDArray[Any]:
        """Returns an episode's observations, ``(L, ...)``, as a read-only view of the file.

        Raises: those of :meth:`read`.
        """
        start, stop = int(self.starts[i]), int(self.stops[i])
        out = self._frames[start:stop]
        self._touch(out.nbytes + FAULT)
        if not self._checked[start:stop].all():
            self._check(np.arange(start, stop), out)
        return out

    def _read_into(self, out: memoryview, descriptor: int, rows: npt.NDArray[np.int64]) -> None:
        """Reads frames from the file, those that follow each other at once."""
        row = self._frames[:1].nbytes
        begins = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist()]
        for begin, end in zip(begins, [*begins[1:], len(rows)], strict=True):
            at, position = HEADER + int(rows[begin]) * row, begin * row
            while position < end * row:
                got = os.preadv(descriptor, [out[position : end * row]], at)
                if not got:
                    raise DamagedFileError(f"{self.path} was cut short: {_remedy(self.path)}.")
                at, position = at + got, position + got

    def _check(self, rows: npt.NDArray[np.int64], frames: npt.NDArray[Any]) -> None:
        for k in np.flatnonzero(~self._checked[rows]).tolist():
            row = int(rows[k])
            if _crc(frames[k]) != self.columns.checks[row]:
                raise DamagedFileError(f"{self.path} is damaged, at step {row}: {_remedy(self.path)}.")
            self._checked[row] = True

    def _touch(self, size: int) -> None:
        """Lets the mapped pages go before there are too many: they stay in the system's cache, not in this process."""
        self._touched += size
        if self._touched > RESIDENT and self._descriptor is not None:
            self._touched = size
            if self._mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
                self._mapping.madvise(mmap.MADV_DONTNEED)


def find_cache(dataset: Path, source: str) -> FrameCache | None:
    """Opens the cache of a dataset file, if there is one that is whole; one that is not is none.

    Args:
        dataset: The dataset file.
        source: Its SHA-256.
    """
    for place in _places(dataset, source):
        with contextlib.suppress(DamagedFileError, OSError):
            return FrameCache.open(place, source)
    return None


def make_cache(dataset: Path, source: str, size: int, episodes: Iterable[EpisodeBase]) -> FrameCache | None:
    """Writes the cache of a dataset file, beside it or, where that cannot be, in the user's directory of caches.

    A process that finds another one at it waits, and takes what that one made.

    Args:
        dataset: The dataset file.
        source: Its SHA-256.
        size: Bytes of its observations.
        episodes: Its episodes, all of one type and shape; taken when the writing begins.

    Returns:
        It; None where no place has room for it.
    """
    place = next((one for one in _places(dataset, source) if _has_room(one, size)), None)
    if place is None:
        return None
    while True:
        try:
            with claimed(place):
                made = find_cache(dataset, source)
                if made is None:
                    _write(place, source, episodes)
                    made = FrameCache.open(place, source)
                return made
        except InUseError:
            time.sleep(POLL)
        except OutputPathError:
            return None
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            return None


def _places(dataset: Path, source: str) -> Iterator[Path]:
    yield dataset.with_name(dataset.name + SUFFIX)
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    yield Path(caches) / "d3rlpy-distill" / (source + SUFFIX)


def _has_room(place: Path, size: int) -> bool:
    """Whether the cache may be written there: over nothing but another cache, on a disk with as much space."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            with place.open("rb") as file:
                if file.read(len(MAGIC)) != MAGIC:
                    return False
        free = shutil.disk_usage(place.parent).free
    except OSError:
        return False
    return os.access(place.parent, os.W_OK | os.X_OK) and free > size + SPARE


def _write(place: Path, source: str, episodes: Iterable[EpisodeBase]) -> None:
    lengths, terminated, actions, rewards, checks = [], [], [], [], []
    shape: tuple[int, ...] = ()
    dtype = np.dtype(np.uint8)
    with appears_atomically(place, overwrite=True) as partial, partial.open("r+b") as file:
        file.seek(HEADER)
        for episode in episodes:
            frames = np.ascontiguousarray(episode.observations)
            shape, dtype = frames.shape[1:], frames.dtype
            file.write(frames.data)
            checks.append(np.array([_crc(frame) for frame in frames], np.uint32))
            lengths.append(len(frames))
            terminated.append(bool(episode.terminated))
            actions.append(episode.actions)
            rewards.append(episode.rewards)
        tail = io.BytesIO()
        for column in Columns(
            np.array(lengths, np.int64),
            np.array(terminated, np.bool_),
            np.concatenate(actions),
            np.concatenate(rewards),
            np.concatenate(checks),
        ):
            np.save(tail, column, allow_pickle=False)
        file.write(tail.getbuffer())
        said = {"source": source, "dtype": dtype.str, "shape": [sum(lengths), *shape], "tail": tail.tell()}
        about = json.dumps(said).encode()
        digest = hashlib.sha256(about + tail.getvalue()).hexdigest()
        file.seek(0)
        file.write((MAGIC + digest.encode() + b"\n" + about + b"\n").ljust(HEADER, b"\0"))


def _read_columns(
    path: Path, file: io.BufferedReader, source: str
) -> tuple[tuple[int, ...], np.dtype[Any], Columns]:
    """Reads all but the observations, and checks that the file is whole and belongs to the dataset."""
    header = file.read(HEADER)
    try:
        if not header.startswith(MAGIC):
            raise ValueError("no cache")
        digest, about, _ = header[len(MAGIC) :].split(b"\n", 2)
        said = json.loads(about)
        shape, dtype = tuple(map(int, said["shape"])), np.dtype(said["dtype"])
        begin, length = HEADER + math.prod(shape) * dtype.itemsize, int(said["tail"])
        if said["source"] != source or os.fstat(file.fileno()).st_size != begin + length:
            raise ValueError("another file's, or cut short")
        file.seek(begin)
        tail = file.read(length)
        if hashlib.sha256(about + tail).hexdigest().encode() != digest:
            raise ValueError("changed")
        parts = io.BytesIO(tail)
        return shape, dtype, Columns(*(np.load(parts, allow_pickle=False) for _ in Columns._fields))
    except (ValueError, KeyError, TypeError, EOFError) as error:
        raise DamagedFileError(f"{path} is damaged, or of another dataset ({error}): {_remedy(path)}.") from error


def _crc(frame: npt.NDArray[Any]) -> int:
    return int(isal_zlib.crc32(frame))


def _remedy(path: Path | None) -> str:
    return "its dataset has to be sent again" if path is None else f"remove it with 'rm {path}', it is made again"
