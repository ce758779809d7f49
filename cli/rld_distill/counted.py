"""Numbers of what has ended, on the lines that say so: ``3/10 bc-100: ...``."""

from __future__ import annotations

__all__ = ["Counted"]


class Counted:
    """Counts arms, or cells.

    Args:
        total: How many there are.
    """

    def __init__(self, total: int) -> None:
        self._done, self._total = 0, total

    def __str__(self) -> str:
        return f"{self._done}/{self._total}"

    def ended(self, what: str) -> str:
        """Counts one more and returns its line."""
        self._done += 1
        return f"{self} {what}"
