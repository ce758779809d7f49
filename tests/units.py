"""Units of work for other processes, which import them from here."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from d3rlpy_distill.errors import DistillError


class Unsendable(Exception):
    """Cannot be made again from its message alone."""

    def __init__(self, number: int, name: str) -> None:
        super().__init__(f"{name} {number}")


def work(unit: tuple[str, Any]) -> object:
    """Does what the unit's first part says with its second."""
    what, value = unit
    if what == "square":
        return value**2
    if what == "refuse":
        raise DistillError(f"not {value}")
    if what == "raise":
        raise Unsendable(3, value)
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "wait":  # and say who waits, and that it was told to stop
        Path(value).write_text(str(os.getpid()))
        try:
            time.sleep(600)
        finally:
            Path(f"{value}.cleaned").touch()
    return None
