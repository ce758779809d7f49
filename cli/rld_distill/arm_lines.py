"""What is said of an arm of an evaluation when it is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from d3rlpy_distill.evaluation.results import ArmResult

__all__ = ["ArmLines"]


class ArmLines:
    """Counts arms.

    Args:
        total: How many there are.
    """

    def __init__(self, total: int) -> None:
        self._done, self._total = 0, total

    @property
    def counted(self) -> str:
        """How many are done: ``3/10 arms``."""
        return f"{self._done}/{self._total} arms"

    def finished(self, entries: Sequence[ArmResult]) -> str:
        """Counts one more and returns its line: its number, its name and its mean return on each split.

        Args:
            entries: Of one arm, for each split and mode; those of the first mode are told.
        """
        self._done += 1
        first = entries[0]
        returns = ", ".join(f"{one.split} {one.mean:.2f}" for one in entries if one.mode == first.mode)
        return f"{self._done}/{self._total} {first.name}: {returns}"
