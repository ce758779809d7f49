"""Refuses files whose texts the HDF5 library would look for without end.

Texts of any length lie in global heaps. The library walks a heap from object to object, and never ends where the free
space says that it has no bytes. A seal does not help: whoever changes a file can seal it again.
"""

from __future__ import annotations

import functools
import mmap
from pathlib import Path

from ...errors import DamagedFileError

__all__ = ["check_heaps"]

SIGNATURE = b"GCOL\x01"
"""What a heap begins with, and its version; see "Global Heap" in HDF5's file format specification."""

HEADER = 16  # bytes of a heap's header, and of an object's
WINDOW = 1 << 26  # bytes of the file that are looked through at a time


def check_heaps(path: Path) -> None:
    """Walks every heap of a file, once for each state of the file.

    Raises:
        DamagedFileError: If one has no end.
    """
    state = path.stat()
    if state.st_size and not _end(path, state.st_size, state.st_mtime_ns, state.st_ino):
        raise DamagedFileError(f"{path} is damaged: a heap of texts in it has no end.")


@functools.lru_cache(maxsize=256)
def _end(path: Path, size: int, modified: int, inode: int) -> bool:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for begin in range(0, size, WINDOW):
            end = min(begin + WINDOW + len(SIGNATURE) - 1, size)
            start = data.find(SIGNATURE, begin, end)
            while start >= 0:
                if not _ends(data, start):
                    return False
                start = data.find(SIGNATURE, start + len(SIGNATURE), end)
            if hasattr(mmap, "MADV_DONTNEED"):  # else the whole file would count as this process's memory
                data.madvise(mmap.MADV_DONTNEED)
    return True


def _ends(data: mmap.mmap, start: int) -> bool:
    end = min(start + int.from_bytes(data[start + 8 : start + 16], "little"), len(data))
    at = start + HEADER
    while at + HEADER <= end:
        size = int.from_bytes(data[at + 8 : at + 16], "little")
        if data[at : at + 2] != b"\0\0":
            at += HEADER + (size + 7) // 8 * 8
        elif size == 0:
            return False
        else:  # free space, its header counted
            at += size
    return True
