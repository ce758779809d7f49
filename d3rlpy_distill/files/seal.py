"""A seal: the first 512 bytes of a file of ours hold the SHA-256 of the rest.

It is checked before anything interprets the file, so damage is found in time that grows with the file's length and with
nothing else. HDF5 calls such a block the user block and skips it, and so does every program that reads HDF5.
"""

from __future__ import annotations

import functools
import hashlib
import re
from pathlib import Path

from ..errors import DamagedFileError

__all__ = ["SEAL_BYTES", "bytes_sha256", "check_seal", "write_seal"]

SEAL_BYTES = 512
"""The length of the block; the smallest that HDF5 allows."""

MAGIC = b"d3rlpy-distill seal 1\n"
SAID = re.compile(rb"sha256 ([0-9a-f]{64})\nbytes ([0-9]{1,20})\n\0*")
PIECE = 1 << 20


def write_seal(path: Path) -> None:
    """Seals a file whose first :data:`SEAL_BYTES` bytes are free."""
    with path.open("r+b") as file:
        file.seek(SEAL_BYTES)
        digest = hashlib.sha256()
        while piece := file.read(PIECE):
            digest.update(piece)
        said = MAGIC + f"sha256 {digest.hexdigest()}\nbytes {file.tell()}\n".encode()
        file.seek(0)
        file.write(said.ljust(SEAL_BYTES, b"\0"))


def check_seal(path: Path) -> bool:
    """Returns whether the file has a seal; one that has is as it was written.

    Raises:
        DamagedFileError: If it is not: bytes were changed, lost or added since.
        OSError: If it cannot be read.
    """
    state = path.stat()
    return _check(path, state.st_size, state.st_mtime_ns, state.st_ino) is not None


def bytes_sha256(path: Path) -> str:
    """Returns the SHA-256 of a file, hexadecimal, without the block of its seal if it has one.

    Raises: those of :func:`check_seal`.
    """
    state = path.stat()
    of_state = path, state.st_size, state.st_mtime_ns, state.st_ino
    return _check(*of_state) or _digest(*of_state)


@functools.lru_cache(maxsize=256)
def _digest(path: Path, size: int, modified: int, inode: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


@functools.lru_cache(maxsize=256)
def _check(path: Path, size: int, modified: int, inode: int) -> str | None:
    """The check, once for each state of a file: a command opens a dataset several times. Returns what the seal says."""
    with path.open("rb") as file:
        block = file.read(SEAL_BYTES)
        if not block.startswith(MAGIC):
            return None
        said = SAID.fullmatch(block[len(MAGIC) :])
        if said is None:
            raise DamagedFileError(
                f"{path} is damaged: its first bytes were changed; make it again, or copy it again."
            )
        if size != int(said[2]):
            what = "cut short" if size < int(said[2]) else "damaged"
            raise DamagedFileError(
                f"{path} is {what}: it has {size} bytes, and had {int(said[2])} when it was written; make it again, or "
                "copy it again."
            )
        digest = hashlib.sha256()
        while piece := file.read(PIECE):
            digest.update(piece)
    if digest.hexdigest() != said[1].decode():
        raise DamagedFileError(
            f"{path} is damaged: its bytes were changed after it was written; make it again, or copy it again."
        )
    return digest.hexdigest()
