"""A file under HDF5 whose disk may fill: the HDF5 library does not survive a write that fails, so none does."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

__all__ = ["Disk"]


class Disk(io.RawIOBase):
    """A file that accepts every write. From the first one that fails on, it keeps them in memory.

    Whoever writes asks :meth:`check` after each piece, and gives up there; only what the library writes to close the
    file is ever kept so.

    Args:
        path: The file, which exists.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("r+b", buffering=0)
        self._kept: list[tuple[int, bytes]] = []
        self._at = 0
        self._error: OSError | None = None

    def check(self) -> None:
        """Raises the error of the first write that failed.

        Raises:
            OSError: If no space is left.
        """
        if self._error is not None:
            raise self._error

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if self._error is None:
            try:
                self._file.seek(self._at)
                done = 0
                while done < len(view):
                    done += self._file.write(view[done:]) or 0
            except OSError as error:
                self._error = error
        if self._error is not None:
            self._kept.append((self._at, bytes(view)))
        self._at += len(view)
        return len(view)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        self._file.seek(self._at)
        data = (self._file.read(len(view)) or b"").ljust(len(view), b"\0")
        view[:] = data
        for at, kept in self._kept:
            begin, end = max(at, self._at), min(at + len(kept), self._at + len(view))
            if begin < end:
                view[begin - self._at : end - self._at] = kept[begin - at : end - at]
        self._at += len(view)
        return len(view)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        ends = [self._file.seek(0, io.SEEK_END), *(at + len(kept) for at, kept in self._kept)]
        self._at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: max(ends)}[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def truncate(self, size: int | None = None) -> int:
        size = self._at if size is None else size
        if self._error is None:
            try:
                self._file.truncate(size)
            except OSError as error:
                self._error = error
        return size

    def flush(self) -> None:
        """Nothing waits here."""

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()
