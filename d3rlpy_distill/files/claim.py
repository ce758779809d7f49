"""One process at a time makes a file or fills a directory; the second is told who the first is."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from ..errors import InUseError, OutputPathError
from .locks import lock
from .writing import LOCK, check_directory, check_output, remove_leftovers

__all__ = ["claim_of", "claimed"]

MAX_BYTES = 65536


@contextlib.contextmanager
def claimed(path: Path, *, directory: bool = False) -> Iterator[None]:
    """Holds an output for this process, from before the first file is touched until the last one is whole.

    A process that was killed holds nothing: the next one goes on, and removes what that one left half written. The lock
    is an empty-looking file beside the output, or in the directory, which says who holds it.

    Args:
        path: The file to make, or the directory to fill.
        directory: Whether it is a directory; it is made.

    Raises:
        InUseError: If another process holds it.
        OutputPathError: If nothing can be written there.
        SettingsError: If the path is no text, or a directory where a file is expected.
    """
    made = directory and not path.exists()
    if directory:
        check_directory(path)
        path.mkdir(parents=True, exist_ok=True)
        name = path / LOCK
    else:
        check_output(path, overwrite=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        name = _beside(path)
    descriptor = _take(name, path)
    try:
        remove_leftovers(path)
        yield
    finally:
        name.unlink(missing_ok=True)
        os.close(descriptor)
        if made:  # nothing came of it
            with contextlib.suppress(OSError):
                path.rmdir()


def claim_of(path: Path) -> bytes:
    """Returns what the claim of a file says, on any machine that sees its directory; nothing if there is none."""
    try:
        return _beside(path).read_bytes()
    except OSError:
        return b""


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}{LOCK}")


def _take(name: Path, path: Path) -> int:
    while True:
        try:
            descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise OutputPathError(
                f"{path} cannot be claimed: {name} cannot be opened ({(error.strerror or '').lower()}); give another "
                "--out."
            ) from error
        try:
            said = os.pread(descriptor, MAX_BYTES, 0)
            holder = _holder(said)
            if said and holder is None:
                raise OutputPathError(
                    f"{name} is in the way and is no lock of ours: move it, or give another --out."
                )
            if not lock(descriptor):
                raise InUseError(
                    f"{path} is being made by {holder or 'another process'}: wait, or give another --out."
                )
            if _same(descriptor, name):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, _self().encode(), 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder had removed it between our two calls


def _same(descriptor: int, name: Path) -> bool:
    """Whether the open file is still the one of this name."""
    try:
        there = name.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)


def _self() -> str:
    started = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    about = {"process": os.getpid(), "host": platform.node(), "since": started, "command": shlex.join(sys.argv)}
    return json.dumps(about)


def _holder(said: bytes) -> str | None:
    """Who a lock names; None if it is no lock of ours."""
    try:
        about = json.loads(said)
        return f"process {about['process']} on {about['host']} since {about['since']} ({about['command']})"
    except (ValueError, TypeError, KeyError):
        return None
