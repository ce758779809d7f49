"""Files that appear whole or not at all, and over nothing that was there."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from ..errors import OutputExistsError, OutputPathError, SettingsError
from .locks import lock

__all__ = ["LOCK", "appears_atomically", "check_directory", "check_empty", "check_output", "remove_leftovers"]

LOCK = ".lock"
"""What a claimed directory holds beside its own files."""

PARTIAL = re.compile(r"\..+\.[0-9a-f]{16}\.partial")
NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
LONGEST_STEM = 128  # bytes of the output's name inside the partial one's: names have at most 255


@contextlib.contextmanager
def appears_atomically(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yields a path to write to, in the same directory, which becomes ``path`` if the block succeeds.

    The partial file is created exclusively under a name that nobody can guess, so no link is followed and two writers
    never share one. A killed process leaves it behind, under a dot; whoever claims ``path`` next removes it.

    Args:
        path: The file to make.
        overwrite: Replace a file that is there; a link is replaced itself, never what it points to. By default a file
            is refused, also one that appears while the block runs.

    Raises:
        OutputExistsError: If there is a file and ``overwrite`` is False.
        OutputPathError: If no file can be made there.
        SettingsError: If the path is a directory or no text.
        OSError: If no space is left.
    """
    check_output(path, overwrite=overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = _create(path)
    try:
        yield partial
        os.fsync(descriptor)
        _publish(partial, path, overwrite)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        os.close(descriptor)


def check_output(path: Path, *, overwrite: bool = False) -> None:
    """Refuses a path that no file can be written to, before the work is done.

    Args:
        path: The file to make.
        overwrite: Whether a file may be there.

    Raises: those of :func:`appears_atomically`.
    """
    _check_text(path)
    try:
        if path.is_dir():
            raise SettingsError(
                f"{path} is a directory: expected the path of a file to make, for example {path / 'NAME'}."
            )
        if not overwrite and os.path.lexists(path):
            raise OutputExistsError(f"{path} exists already: give another path, or remove it with 'rm {path}'.")
        check_directory(path.parent)
    except OSError as error:  # a name too long, a directory that may not be searched
        raise OutputPathError(f"{path} cannot be written: {_reason(error)}; give another path.") from error


def check_directory(path: Path) -> None:
    """Refuses a directory that is none and cannot be made, or that may not be written.

    Raises:
        SettingsError: If the path is no text.
        OutputPathError: If files cannot be made there.
    """
    _check_text(path)
    there = path
    while not there.exists():
        if there.is_symlink():
            raise OutputPathError(
                f"{there} is a link to nothing: give another path, or remove it with 'rm {there}'."
            )
        there = there.parent
    if not there.is_dir():
        raise OutputPathError(f"{there} is a file: no directory can be made of it; give another path.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise OutputPathError(f"{there} may not be written by this user: give another path.")


def check_empty(path: Path, expected: str) -> None:
    """Refuses a directory that holds anything but a lock.

    Args:
        path: The directory; it need not exist.
        expected: What one that is not empty should hold.

    Raises:
        OutputExistsError: If it holds something.
    """
    if path.is_dir() and any(one.name != LOCK for one in path.iterdir()):
        raise OutputExistsError(f"{path} is not empty and holds {expected}: give another --out.")


def _check_text(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise SettingsError(f"the path {str(path)!a} is not UTF-8: give a name of ordinary characters.") from None
    if "\0" in str(path):
        raise SettingsError(f"the path {str(path)!a} has a zero character: give another name.")


def _create(path: Path) -> tuple[int, Path]:
    """Creates the partial file and locks it, which tells others that its writer lives."""
    stem = path.name.encode()[:LONGEST_STEM].decode(errors="ignore")
    partial = path.with_name(f".{stem}.{secrets.token_hex(8)}.partial")
    try:
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OutputPathError(f"{path} cannot be written: {_reason(error)}; give another path.") from error
    lock(descriptor)
    return descriptor, partial


def _publish(partial: Path, path: Path, overwrite: bool) -> None:
    if overwrite:
        partial.replace(path)
        return
    try:
        os.link(partial, path)  # unlike a rename, it never replaces anything
    except FileExistsError as error:
        raise OutputExistsError(
            f"{path} appeared while it was being made, and is left alone: give another path."
        ) from error
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        check_output(path)
        partial.replace(path)


def remove_leftovers(path: Path) -> None:
    """Removes partial files of ``path``, or inside it where it is a directory, whose writers are gone."""
    if path.is_dir():
        found = list(path.rglob(".*.partial"))
    else:
        stem = path.name.encode()[:LONGEST_STEM].decode(errors="ignore")
        found = [one for one in path.parent.glob(".*.partial") if one.name.startswith(f".{stem}.")]
    for leftover in found:
        if not PARTIAL.fullmatch(leftover.name) or leftover.is_symlink() or not leftover.is_file():
            continue
        descriptor = os.open(leftover, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if lock(descriptor):
                leftover.unlink(missing_ok=True)
        finally:
            os.close(descriptor)


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
