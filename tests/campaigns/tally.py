"""What came of a campaign: counts for each kind, and every failure with what it takes to see it again."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections import Counter

from .children import Ended

__all__ = ["FINE", "Clock", "Tally"]

FINE = ("refused", "unharmed", "same", "in one line")


@dataclasses.dataclass(frozen=True)
class Clock:
    """When to stop, and how many processes run at a time.

    Args:
        end: Of ``time.monotonic``.
        workers: Processes.
    """

    end: float
    workers: int

    @classmethod
    def of(cls, minutes: float, workers: int) -> Clock:
        return cls(time.monotonic() + 60 * minutes, workers)

    def over(self) -> bool:
        return time.monotonic() > self.end


@dataclasses.dataclass
class Tally:
    """Counts.

    Args:
        name: Of the campaign.
    """

    name: str
    rows: dict[str, Counter[str]] = dataclasses.field(default_factory=dict)
    failures: list[str] = dataclasses.field(default_factory=list)
    slowest: float = 0.0
    peak: int = 0

    def add(self, row: str, kind: str, about: str, ended: Ended | None = None) -> bool:
        """Counts one; returns whether it is a failure."""
        self.rows.setdefault(row, Counter())[kind] += 1
        if ended is not None:
            self.slowest, self.peak = max(self.slowest, ended.seconds), max(self.peak, ended.peak)
        if kind not in FINE:
            self.failures.append(f"{self.name}, {row}: {kind}: {about}")
            print(f"FAILED {self.failures[-1]}", file=sys.stderr, flush=True)
        return kind not in FINE

    @property
    def total(self) -> int:
        return sum(sum(row.values()) for row in self.rows.values())

    def table(self) -> str:
        """Markdown: a row for each kind, a column for each outcome."""
        found = {kind for row in self.rows.values() for kind in row}
        columns = [kind for kind in FINE if kind in found]
        rest = sorted(found - set(FINE))
        lines = [f"| {self.name} | tried | " + " | ".join([*columns, "failures"]) + " |"]
        lines.append("|---" * (len(columns) + 3) + "|")
        rows = {**self.rows, "together": sum(self.rows.values(), Counter())}
        for name, row in rows.items():
            failed = ", ".join(f"{row[kind]} {kind}" for kind in rest if row[kind]) or "0"
            cells = [str(sum(row.values())), *(str(row[kind]) for kind in columns), failed]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        return "\n".join(lines)
