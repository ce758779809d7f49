"""Standard output and its failures, which must not pass for success, nor for those of a file."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

__all__ = ["StandardOutputError", "open_standard_files"]


class StandardOutputError(Exception):
    """Standard output is closed, its reader is gone, or its disk is full."""


class _Output(io.FileIO):
    """Standard output; after its first failure it leads nowhere, so that Python does not fail once more at the end."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            raise StandardOutputError(
                f"standard output cannot be written ({str(error.strerror).lower()})"
            ) from error


def open_standard_files() -> None:
    """Opens what is closed of standard input and standard error, or a file of ours would get its number.

    Raises:
        StandardOutputError: If standard output is closed.
    """
    closed = [number for number in (0, 1, 2) if not _is_open(number)]
    for number in closed:
        os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
        os.set_inheritable(number, True)
    if 1 in closed:
        raise StandardOutputError("standard output is closed: give it a file or a pipe, or >/dev/null")
    out = sys.stdout
    raw = io.BufferedWriter(_Output(1, "w", closefd=False))
    sys.stdout = io.TextIOWrapper(raw, out.encoding, out.errors, line_buffering=bool(out.isatty()))


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
