"""What came of a campaign: counts for each kind, and every failure with what it takes to see it again."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections import Counter
from pathlib import Path

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
        journal: File that each outcome is appended to, so that a campaign can go on where it was stopped.
        seed: Of the campaign; outcomes of others in the journal are left alone.
    """

    name: str
    journal: Path | None = None
    seed: int = 0
    rows: dict[str, Counter[str]] = dataclasses.field(default_factory=dict)
    failures: list[str] = dataclasses.field(default_factory=list)
    slowest: float = 0.0
    peak: int = 0
    done: set[str] = dataclasses.field(default_factory=set)

    def __post_init__(self) -> None:
        """Counts what was done before; what failed then is not counted, and tried again."""
        if self.journal is None or not self.journal.exists():
            return
        for line in self.journal.read_text().splitlines():
            try:
                told = json.loads(line)
            except ValueError:  # the campaign was killed while it wrote
                continue
            if (told["campaign"], told["seed"]) == (self.name, self.seed) and told["kind"] in FINE:
                self._count(told["row"], told["kind"], told["count"], told["seconds"], told["peak"])
                self.done.add(told["key"])

    def add(
        self, row: str, kind: str, about: str, ended: Ended | None = None, *, key: str = "", count: int = 1
    ) -> bool:
        """Counts an outcome; returns whether it is a failure.

        Args:
            row: Of the table.
            kind: Of :data:`FINE`, or a failure.
            about: What it takes to see it again.
            ended: Whose seconds and memory count.
            key: Names what was tried, within the campaign.
            count: How many tries it stands for.
        """
        seconds, peak = (ended.seconds, ended.peak) if ended is not None else (0.0, 0)
        self._count(row, kind, count, seconds, peak)
        if self.journal is not None:
            told = {"campaign": self.name, "seed": self.seed, "key": key, "row": row, "kind": kind, "count": count,
                    "seconds": seconds, "peak": peak, "about": about}  # fmt: skip
            with self.journal.open("a") as file:
                file.write(json.dumps(told) + "\n")
        if kind not in FINE:
            self.failures.append(f"{self.name}, {row}: {kind}: {about}")
            print(f"FAILED {self.failures[-1]}", file=sys.stderr, flush=True)
        return kind not in FINE

    def _count(self, row: str, kind: str, count: int, seconds: float, peak: int) -> None:
        self.rows.setdefault(row, Counter())[kind] += count
        self.slowest, self.peak = max(self.slowest, seconds), max(self.peak, peak)

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
