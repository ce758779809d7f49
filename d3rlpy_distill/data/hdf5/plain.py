"""The only way to a dataset inside a file: it must lie in the file itself, whole, plainly stored.

HDF5 can point elsewhere: to other files by external links, to any file's bytes by external storage, to several files by
virtual datasets, whose missing sources read as a fill value. A file of somebody else's could so put this machine's
files into a dataset that is published. It can also declare terabytes in a few bytes. None of it is followed here.
"""

from __future__ import annotations

import math
import zlib

import h5py

from ...errors import DatasetFormatError
from ...files import SEAL_BYTES

__all__ = ["has", "holds_pictures", "plain_dataset", "plain_group", "plain_pictures"]

MAX_CHUNK = 1 << 28
"""Bytes of one chunk; ours have 64 KiB, h5py's own guesses 1 MiB. One that cannot inflate to more is not looked at."""

MAX_DEFLATE = 1032
"""Bytes that deflate makes of one byte at most (RFC 1951: 258 bytes in two bits)."""

PIECE = 1 << 20
CHECKSUM = 4
MAX_TEXTS = 64
FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}
MAX_LZF = 264  # LZF copies at most 264 bytes for three


def has(group: h5py.Group, name: str) -> bool:
    """Returns whether the group has a member of this name, without following it."""
    return bool(group.id.links.exists(name.encode()))


def plain_group(group: h5py.Group, name: str) -> h5py.Group:
    """Returns a group inside the file.

    Raises:
        DatasetFormatError: If it is missing, a link to elsewhere, or no group.
    """
    member = _local(group, name)
    if not isinstance(member, h5py.Group):
        raise DatasetFormatError(f"{_where(group, name)} is a {type(member).__name__.lower()}: expected a group.")
    return member


def plain_dataset(group: h5py.Group, name: str, *, text: bool = False) -> h5py.Dataset:
    """Returns a dataset that is stored in the file itself and is not larger than the file can hold.

    Args:
        group: Where it is.
        name: Its name.
        text: Whether it holds text; by default it holds numbers.

    Raises:
        DatasetFormatError: If it is missing, a link to elsewhere, no dataset, stored elsewhere, or declares more than
            the file holds.
    """
    member = _local(group, name)
    where = _where(group, name)
    if not isinstance(member, h5py.Dataset):
        raise DatasetFormatError(f"{where} is a {type(member).__name__.lower()}: expected a dataset.")
    expected, kinds = ("text", "OS") if text else ("numbers", "biuf")
    if member.dtype.kind not in kinds:
        raise DatasetFormatError(f"{where} holds {member.dtype}: expected {expected}.")
    properties = member.id.get_create_plist()
    if properties.get_external_count():
        raise DatasetFormatError(f"{where} keeps its values in other files: expected them in the file itself.")
    layout = properties.get_layout()
    if layout == h5py.h5d.VIRTUAL:
        raise DatasetFormatError(
            f"{where} is a virtual dataset of other files: expected its values in the file itself."
        )
    if member.shape is None:
        raise DatasetFormatError(f"{where} is empty: expected an array or a number.")
    if text:
        if member.size > MAX_TEXTS:
            raise DatasetFormatError(f"{where} has {member.size} texts: expected at most {MAX_TEXTS}.")
    elif layout == h5py.h5d.CHUNKED:
        _check_chunks(where, member, properties)
    elif layout == h5py.h5d.CONTIGUOUS:
        size, held = _bytes(member.shape, member), member.id.get_storage_size()
        if size != held and size:
            raise DatasetFormatError(
                f"{where} declares {size} bytes and holds {held}: it was never written whole."
            )
    return member


def holds_pictures(group: h5py.Group, name: str) -> bool:
    """Tells whether a dataset holds packed pictures, each a row of bytes, and not numbers.

    Raises:
        DatasetFormatError: If it is missing, or a link to elsewhere.
    """
    member = _local(group, name)
    if not isinstance(member, h5py.Dataset):
        return False
    return h5py.check_vlen_dtype(member.dtype) is not None or (member.ndim == 2 and member.dtype == "u1")


def plain_pictures(group: h5py.Group, name: str) -> h5py.Dataset:
    """Returns a dataset of pictures, each a row of packed bytes of a length of its own, stored in the file itself.

    Row i is to be read by itself: a row may be stored once and named many times, so all at once may be anything.

    Raises:
        DatasetFormatError: See :func:`plain_dataset`.
    """
    member = _local(group, name)
    if isinstance(member, h5py.Dataset) and member.ndim == 2 and member.dtype == "u1":
        return plain_dataset(group, name)  # of equal lengths
    where = _where(group, name)
    if not isinstance(member, h5py.Dataset) or h5py.check_vlen_dtype(member.dtype) != "u1" or member.ndim != 1:
        raise DatasetFormatError(f"{where}: expected pictures, one row of bytes each.")
    properties = member.id.get_create_plist()
    layout = properties.get_layout()
    if properties.get_external_count() or layout == h5py.h5d.VIRTUAL:
        raise DatasetFormatError(f"{where} keeps its values in other files: expected them in the file itself.")
    if layout == h5py.h5d.CHUNKED:
        _check_chunks(where, member, properties)
    return member


def _local(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | h5py.Datatype:
    # not "name in group", which opens the file that an external link names
    if not has(group, name):
        raise DatasetFormatError(f"{_where(group, name)} is missing.")
    if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
        raise DatasetFormatError(f"{_where(group, name)} is a link to elsewhere: expected it in the file itself.")
    return group[name]


def _check_chunks(where: str, dataset: h5py.Dataset, properties: h5py.h5p.PropDCID) -> None:
    filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    if unknown := set(filters) - FILTERS:
        raise DatasetFormatError(f"{where} is packed by filter {min(unknown)}: expected gzip or lzf.")
    packing = [one for one in filters if one in (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_LZF)]
    if len(packing) > 1:
        raise DatasetFormatError(f"{where} is packed {len(packing)} times over: expected once.")
    chunk = _bytes(dataset.chunks, dataset)
    if chunk > MAX_CHUNK:
        raise DatasetFormatError(f"{where} has chunks of {chunk} bytes: expected at most {MAX_CHUNK}.")
    expected = math.prod(-(-length // piece) for length, piece in zip(dataset.shape, dataset.chunks, strict=True))
    ratio = {h5py.h5z.FILTER_DEFLATE: MAX_DEFLATE, h5py.h5z.FILTER_LZF: MAX_LZF}[packing[0]] if packing else 1
    size, held = _bytes(dataset.shape, dataset), dataset.id.get_storage_size()
    if size > held * ratio or (expected and dataset.id.get_num_chunks() != expected):
        raise DatasetFormatError(
            f"{where} declares {size} bytes in {expected} chunks and holds {held} bytes in "
            f"{dataset.id.get_num_chunks()}: it was never written whole."
        )
    if held * ratio > MAX_CHUNK and packing:
        _check_inflated(where, dataset, packing[0], filters.index(packing[0]), chunk)


def _check_inflated(where: str, dataset: h5py.Dataset, packing: int, position: int, chunk: int) -> None:
    """Refuses chunks that inflate to more than they declare: HDF5 would take the memory for it first.

    Args:
        where: For messages.
        dataset: Of chunks that are packed.
        packing: The filter that packs.
        position: Its place among the filters.
        chunk: Bytes of a chunk.
    """
    if packing == h5py.h5z.FILTER_LZF:
        # no file of ours; a file without a seal was read to its end by a process with limits
        if dataset.file.userblock_size >= SEAL_BYTES:
            raise DatasetFormatError(f"{where} is packed by lzf in a sealed file: expected gzip.")
        return
    for origin, size in _chunks(dataset):
        if size * MAX_DEFLATE > MAX_CHUNK:
            mask, data = dataset.id.read_direct_chunk(origin)
            stored = mask >> position & 1
            if size > chunk + CHECKSUM if stored else not _fits(data, chunk + CHECKSUM):
                raise DatasetFormatError(f"{where} has a chunk of more than the {chunk} bytes that it declares.")


def _chunks(dataset: h5py.Dataset) -> list[tuple[tuple[int, ...], int]]:
    """Where each chunk begins in the array, and the bytes that it takes in the file."""
    chunks: list[tuple[tuple[int, ...], int]] = []
    # its callback goes on for as long as it returns None
    dataset.id.chunk_iter(lambda stored: chunks.append((stored.chunk_offset, stored.size)))
    return chunks


def _fits(data: bytes, most: int) -> bool:
    """Whether deflated bytes are at most so many."""
    inflating, size = zlib.decompressobj(), 0
    while data and not inflating.eof and size <= most:
        try:
            size += len(inflating.decompress(data, PIECE))
        except zlib.error:  # the library refuses it, too
            return True
        data = inflating.unconsumed_tail
    return size <= most


def _bytes(shape: tuple[int, ...], dataset: h5py.Dataset) -> int:
    return math.prod(map(int, shape)) * int(dataset.dtype.itemsize)


def _where(group: h5py.Group, name: str) -> str:
    return f"{group.file.filename}, {group.name.rstrip('/')}/{name}"
