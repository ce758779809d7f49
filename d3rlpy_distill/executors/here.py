"""The pool of one job: this process, one unit after the other."""

from __future__ import annotations

from collections import deque
from typing import Any, TypeVar

from .base import Ended, Held, Shared, Unit, Watch, do

__all__ = ["HerePool"]

T = TypeVar("T")


class HerePool:
    """Runs units in this process. Nothing is pickled, so they may be anything.

    Args:
        watch: Told of what units do.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._units: deque[Unit[Any]] = deque()

    def share(self, value: T) -> Shared[T]:
        """See :class:`~.base.Pool`."""
        return Held(value)

    def room(self) -> int:
        """See :class:`~.base.Pool`."""
        return 1 - len(self._units)

    def submit(self, unit: Unit[Any]) -> None:
        """See :class:`~.base.Pool`."""
        self._units.append(unit)

    def wait(self) -> tuple[Unit[Any], Ended[Any]]:
        """See :class:`~.base.Pool`."""
        unit = self._units.popleft()
        self._watch.begun(unit, "")
        return unit, do(unit, lambda done, total: self._watch.told(unit, done, total))
