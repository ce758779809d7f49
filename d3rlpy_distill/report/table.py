"""A table of text cells."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

__all__ = ["Table"]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of text cells.

    Args:
        title: One line.
        columns: Headings.
        rows: Cells, as many in a row as there are headings.
        least: Headings of the columns that are given up first where there is no room, the least needed one first.
        note: What a reader should know beside it, a sentence; "" where there is nothing.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    least: tuple[str, ...] = ()
    note: str = ""
