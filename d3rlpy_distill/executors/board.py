"""What units do at this moment, and how many have ended: what people are shown."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .base import Unit

__all__ = ["Board", "Progress"]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, on which nodes, how many units are done, and how many there are."""

EVERY = 0.1  # seconds between two calls that tell of steps only
SHOWN = 4  # nodes, or units of one node


class Board:
    """Counts units and tells of them.

    Args:
        progress: Called whenever something has changed.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._done = self._total = 0
        self._running: dict[Unit[Any], str] = {}  # the node of each
        self._steps: dict[Unit[Any], tuple[int, int]] = {}
        self._told = 0.0
        self.busy = 0.0
        """Seconds that units have taken, all together."""

    def expect(self, units: int) -> None:
        """There are so many more units."""
        self._total += units

    def skip(self, units: int = 1) -> None:
        """So many were done before."""
        self._done += units

    def begun(self, unit: Unit[Any], node: str) -> None:
        """See :class:`~.base.Watch`."""
        self._running[unit] = node
        self._steps.pop(unit, None)
        self._tell()

    def told(self, unit: Unit[Any], done: int, total: int) -> None:
        """See :class:`~.base.Watch`."""
        self._steps[unit] = done, total
        if done == total or time.monotonic() - self._told > EVERY:
            self._tell()

    def ended(self, unit: Unit[Any], seconds: float) -> None:
        """A unit has ended that took so long."""
        self._done += 1
        self.busy += seconds
        self.dropped(unit)
        self._tell()

    def dropped(self, unit: Unit[Any]) -> None:
        """A unit has ended whose result nobody wants any more."""
        self._running.pop(unit, None)
        self._steps.pop(unit, None)

    def _tell(self) -> None:
        self._told = time.monotonic()
        self._progress(self._text(), self._done, max(self._total, self._done))

    def _text(self) -> str:
        nodes: dict[str, list[str]] = {}
        for unit, node in self._running.items():
            done, total = self._steps.get(unit, (0, 0))
            nodes.setdefault(node, []).append(f"{unit.name} ({done}/{total})" if total else unit.name)
        return _some([f"{node}: {_some(names)}" if node else _some(names) for node, names in nodes.items()])


def _some(texts: list[str]) -> str:
    left = len(texts) - SHOWN
    return "; ".join(texts[:SHOWN]) + (f"; and {left} more" if left > 0 else "")
