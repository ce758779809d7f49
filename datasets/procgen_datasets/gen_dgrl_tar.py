"""Reads the files of a ``.tar.xz`` as a stream, within limits that the archive cannot choose.

Python's ``tarfile`` reads an extension header of any declared size into memory, follows such headers recursively, and
decompresses whatever it skips. This reader knows what ``tar`` makes of plain files: files, folders, and the two
extensions that hold a long name (pax ``path``, GNU ``L``). It refuses everything else at its header: links, devices,
sparse files, sizes beyond what the caller allows for that name. What follows a refused header is not decompressed.

The header's layout is POSIX.1-2017, ``pax``, "ustar Interchange Format".
"""

from __future__ import annotations

import lzma
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from d3rlpy_distill.errors import DatasetFormatError

from .gen_dgrl_pickle import shown

__all__ = ["read_files"]

BLOCK = 512
PIECE = 2**20  # bytes that are read or decompressed at once
MAX_DICTIONARY = 2**27  # bytes that decompressing may take; xz -9 takes 65 MiB
MAX_OTHERS = 1000  # members that nobody asked for: folders, global headers, a README
MAX_EXTENSION = 2**16  # bytes of a header that extends another
MAX_NAME = 255  # characters
MAX_SKIPPED = 2**20  # bytes of a file that nobody asked for, a README for example
MAX_PADDING = 2**20  # zeros after the last file; tar fills up 10 KiB
MAX_RATIO = 1000  # of all that is decompressed to all that was read, once it is more than ALLOWANCE
ALLOWANCE = 2**31

FILE, FOLDER, PAX, PAX_GLOBAL, GNU_NAME = b"0", b"5", b"x", b"g", b"L"
OTHER = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a pipe",
    b"S": "a sparse file",
}


def read_files(
    archive: Path, limit: Callable[[str], int | None], *, at: Callable[[int], None] = lambda position: None
) -> Iterator[tuple[str, memoryview]]:
    """Yields the name and the bytes of an archive's files, in its order.

    Memory holds one file at a time, and what decompressing takes.

    Args:
        archive: A ``.tar.xz``.
        limit: From a file's name, the bytes that it may have; None for a file to pass over. It may raise.
        at: Told before each file how many bytes of the archive were read.

    Raises:
        DatasetFormatError: If the archive is damaged or cut short, or holds anything but files and folders; if a file
            is larger than ``limit`` says, or a name is given twice or is no plain relative path.
    """
    with archive.open("rb") as file:
        for one in _Tar(archive, file).files(limit):
            at(file.tell())
            yield one


class _Stream:
    """The decompressed bytes of an xz file: one stream, whole, and not much more than what is read."""

    def __init__(self, archive: Path, file: BinaryIO) -> None:
        self._archive = archive
        self._file = file
        self._decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_DICTIONARY)
        self._taken = 0
        self._given = 0

    def damaged(self, why: str) -> DatasetFormatError:
        return DatasetFormatError(
            f"{self._archive} is no complete .tar.xz; it is damaged, cut short or of another format: {why}."
        )

    def read(self, size: int) -> bytearray:
        """Returns exactly so many bytes; memory grows as they come."""
        data = bytearray()
        while len(data) < size:
            piece = self._piece(size - len(data))
            if not piece:
                raise self.damaged("it ends within a file")
            data += piece
        return data

    def rest(self) -> None:
        """Reads to the end, where xz's checksum stands; nothing but zeros may be left."""
        padding = 0
        while piece := self._piece(PIECE):
            padding += len(piece)
            if padding > MAX_PADDING or piece.count(0) != len(piece):
                raise self.damaged("something follows its last file")
        if self._decompressor.unused_data or self._file.read(1):
            raise self.damaged("something follows its xz stream")

    def _piece(self, size: int) -> bytes:
        """Returns at least one byte; none at the end of the stream."""
        piece = b""
        while not piece and not self._decompressor.eof:
            data = b""
            if self._decompressor.needs_input:
                data = self._file.read(PIECE)
                if not data:
                    raise self.damaged("its xz stream ends early")
                self._taken += len(data)
            try:
                piece = self._decompressor.decompress(data, min(size, PIECE))
            except lzma.LZMAError as error:
                raise self.damaged(shown(str(error))) from error
        self._given += len(piece)
        if self._given > ALLOWANCE + MAX_RATIO * self._taken:
            raise DatasetFormatError(
                f"{self._archive}: {self._taken} bytes decompress to more than {self._given}; expected at most "
                f"{MAX_RATIO} times as many."
            )
        return piece


class _Tar:
    def __init__(self, archive: Path, file: BinaryIO) -> None:
        self._archive = archive
        self._stream = _Stream(archive, file)
        self._names: set[int] = set()  # hashes: a million names would take much more

    def files(self, limit: Callable[[str], int | None]) -> Iterator[tuple[str, memoryview]]:
        extended: tuple[str | None] | None = None  # of the next file, once a header extended it
        others = 0
        while True:
            header = bytes(self._stream.read(BLOCK))
            if header.count(0) == BLOCK:
                if extended is not None:
                    raise self._stream.damaged("it ends after the name of a file")
                self._stream.rest()
                return
            self._check(header)
            kind, size = header[156:157].replace(b"\0", FILE), self._octal(header[124:136], "size")
            if kind in (PAX, GNU_NAME):
                if extended is not None:
                    raise self._refused("two names for one file")
                extended = (self._extension(kind, size),)
                continue
            if kind == PAX_GLOBAL:
                self._extension(kind, size)
                others = self._count(others)
                continue
            name = self._name((extended and extended[0]) or self._short_name(header))
            extended = None
            if kind == FOLDER or (kind == FILE and name.endswith("/")):
                if size:
                    raise self._refused(f"{shown(name)} is a folder of {size} bytes")
                others = self._count(others)
                continue
            if kind != FILE:
                raise self._refused(
                    f"{shown(name)} is {OTHER.get(kind, f'of type {kind!r}')}; expected files and folders"
                )
            if hash(name) in self._names:
                raise self._refused(f"{shown(name)} stands there twice")
            self._names.add(hash(name))
            allowed = limit(name)
            most = MAX_SKIPPED if allowed is None else allowed
            if size > most:
                raise self._refused(f"{shown(name)} has {size} bytes; expected at most {most}")
            data = self._stream.read(-(-size // BLOCK) * BLOCK)
            if allowed is None:
                others = self._count(others)
            else:
                yield name, memoryview(data)[:size].toreadonly()

    def _count(self, others: int) -> int:
        if others == MAX_OTHERS:
            raise self._refused(f"more than {MAX_OTHERS} members that are no episodes")
        return others + 1

    def _refused(self, why: str) -> DatasetFormatError:
        return DatasetFormatError(f"{self._archive} is refused: {why}.")

    def _check(self, header: bytes) -> None:
        total = sum(header[:148]) + sum(header[156:]) + 8 * ord(" ")
        if self._octal(header[148:156], "checksum") != total:
            raise self._stream.damaged("the checksum of a header differs")

    def _octal(self, field: bytes, what: str) -> int:
        digits = field.strip(b" \0")
        if not digits or digits.strip(b"01234567"):  # the binary form holds 8 GiB and more
            raise self._refused(f"a header whose {what} is no octal number")
        return int(digits, 8)

    def _extension(self, kind: bytes, size: int) -> str | None:
        """Returns the name that the next file has, if this says one."""
        if size > MAX_EXTENSION:
            raise self._refused(f"a header of {size} bytes; expected at most {MAX_EXTENSION}")
        data = bytes(self._stream.read(-(-size // BLOCK) * BLOCK)[:size])
        if kind == GNU_NAME:
            return self._decode(data.rstrip(b"\0")) or None
        name, start = None, 0
        while start < size:
            length, _, _ = data[start : start + 8].partition(b" ")
            end = start + (int(length) if length.isdigit() else 0)
            key, equals, value = data[start + len(length) + 1 : end - 1].partition(b"=")
            if not start < end <= size or not equals or data[end - 1 : end] != b"\n":
                raise self._refused("a pax header that is no list of keys and values")
            if key == b"size" or key.startswith(b"GNU.sparse") or (key == b"path" and kind == PAX_GLOBAL):
                raise self._refused(f"a pax header with {shown(key.decode('latin-1'))}")
            if key == b"path":
                name = self._decode(value)
            start = end
        return name

    def _short_name(self, header: bytes) -> str:
        name, prefix = header[:100].partition(b"\0")[0], b""
        if header[257:265] == b"ustar\x0000":
            prefix = header[345:500].partition(b"\0")[0]
        elif header[257:265] not in (b"ustar  \0", bytes(8)):
            raise self._stream.damaged("a header that is none of tar's")
        return self._decode(prefix + b"/" + name if prefix else name)

    def _decode(self, name: bytes) -> str:
        try:
            return name.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._refused("a name that is no UTF-8") from error

    def _name(self, name: str) -> str:
        if not 0 < len(name) <= MAX_NAME:
            raise self._refused(f"a name of {len(name)} characters; expected 1 to {MAX_NAME}")
        if not name.isprintable() or name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise self._refused(f"the name {shown(name)!r}; expected a relative path in printable characters")
        return name
