"""What is said of a cell of a sweep when it has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .failures import explain

if TYPE_CHECKING:
    from d3rlpy_distill.sweeping import Cell

__all__ = ["CellLines"]


class CellLines:
    """Counts cells.

    Args:
        total: How many there are.
    """

    def __init__(self, total: int) -> None:
        self._done, self._total = 0, total

    def ended(self, cell: Cell, error: Exception | None) -> str:
        """Counts one more and returns its line: its number, its name, and what went wrong."""
        from d3rlpy_distill.errors import DistillError

        self._done += 1
        line = f"{self._done}/{self._total} {cell.name}"
        if error is None:
            return f"{line}: done"
        return f"{line}: failed: {error if isinstance(error, DistillError) else explain(error)}"
