"""What an import, an export or a pull would read and write: said before it is done."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Generic, TypeVar

__all__ = ["Transfer", "Tried"]

TRIED_SECONDS = 2.0

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Transfer:
    """What would be read, and what would be written.

    Args:
        source: What would be read.
        source_bytes: Its size; None where nobody tells before it is downloaded.
        path: What would be written.
        n_bytes: About its size, from the first episodes; None likewise.
        seconds: About how long it takes; None where that depends on a network.
        beside: A further file that would be written, such as a card.
        done: Whether ``path`` holds just this already, and nothing would be written.
    """

    source: str
    source_bytes: int | None
    path: Path
    n_bytes: int | None
    seconds: float | None
    beside: Path | None = None
    done: bool = False


class Tried(Generic[T]):
    """Yields the first of many things, at least one, for about two seconds: they stand for all.

    Args:
        things: All of them.
        total: How many they are.
    """

    def __init__(self, things: Generator[T, None, None], total: int) -> None:
        self._things, self._total = things, total
        self._start = time.perf_counter()
        self.count = 0

    def __iter__(self) -> Iterator[T]:
        with contextlib.closing(self._things):
            for thing in self._things:
                self.count += 1
                yield thing
                if time.perf_counter() - self._start > TRIED_SECONDS:
                    return

    def transfer(self, source: Path, path: Path, n_bytes: int) -> Transfer:
        """Returns what all of them come to.

        Args:
            source: The file that is read.
            path: What would be written.
            n_bytes: That those that were tried take.
        """
        share = max(self._total, 1) / max(self.count, 1)
        seconds = share * (time.perf_counter() - self._start)
        return Transfer(str(source), source.stat().st_size, path, round(share * n_bytes), seconds)
