"""How tables are shown: fitted to the terminal, or as Markdown where there is none."""

from __future__ import annotations

import shlex
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

if TYPE_CHECKING:
    from rich.console import Console

    from d3rlpy_distill.report import Table

__all__ = ["print_table", "show_tables"]

PADDING = 2
"""Spaces between columns."""
KEPT = 2
"""Columns that are always shown: what a row is of, and the one that says most."""


def show_tables(tables: Sequence[Table], *, wide: bool = False, kept: Path | None = None) -> None:
    """Prints tables on stdout: drawn and fitted where that is a terminal, else as Markdown.

    Args:
        tables: The tables.
        wide: Show every column, however wide the table becomes.
        kept: Where the results lie, if another command than this one shows the columns that are left out.
    """
    if not sys.stdout.isatty():
        from d3rlpy_distill.report import render

        click.echo(render(tables))
        return
    from rich.console import Console

    console = Console(highlight=False)
    again = "--wide" if kept is None else f"'{shlex.join(['rld-distill', 'report', str(kept), '--wide'])}'"
    for number, table in enumerate(tables):
        if number:
            console.print()
        print_table(table, console, wide=wide, advice=f"{again} shows all")


def print_table(table: Table, console: Console, *, wide: bool = False, advice: str = "--wide shows all") -> None:
    """Prints a table that fits the console's width; no cell is ever wrapped or cut.

    Where there is no room, whole columns are left out: first those of ``table.least`` in its order, then the last
    ones, and never the first column nor the last that is left beside it. A line below names what is left out.

    Args:
        table: The table.
        console: Where it goes.
        wide: Leave nothing out.
        advice: What to type to see what is left out.
    """
    from rich.box import SIMPLE_HEAD
    from rich.padding import Padding
    from rich.table import Table as RichTable
    from rich.text import Text

    columns = [_printable(column) for column in table.columns]
    rows = [[_printable(cell) for cell in row] for row in table.rows]
    cells = [max((len(row[i]) for row in rows), default=0) for i in range(len(columns))]
    heads = [_head(column, width) for column, width in zip(columns, cells, strict=True)]
    widths = [max(width, *map(len, head)) for width, head in zip(cells, heads, strict=True)]
    kept = list(range(len(columns))) if wide else _fitting(table, widths, console.width)
    drawn = RichTable(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, PADDING, 0, 0))
    for i in kept:
        drawn.add_column(
            Text("\n".join(heads[i])),
            justify="left" if i == 0 else "right",
            vertical="bottom",
            no_wrap=True,
            min_width=widths[i],
            style="bold" if i == 0 else "",
        )
    for row in rows:
        drawn.add_row(*(Text(row[i]) for i in kept))
    console.print(Text(_printable(table.title), style="bold"))
    # of its own width, also where that is more than there is: a terminal can be scrolled, a cut number is lost
    console.print(Padding(drawn, (0, 0)), width=_total([widths[i] for i in kept]), crop=False, no_wrap=True)
    hidden = [columns[i] for i in range(len(columns)) if i not in kept]
    if hidden:
        count = f"{len(hidden)} column{'s' if len(hidden) > 1 else ''} hidden"
        console.print(Text(f"{count}: {', '.join(hidden)}; {advice}.", style="dim"))


def _fitting(table: Table, widths: Sequence[int], room: int) -> list[int]:
    """The numbers of the columns that are shown."""
    kept = list(range(len(widths)))
    order = [table.columns.index(name) for name in table.least if name in table.columns]
    order += [i for i in reversed(kept) if i not in order]
    for i in order:
        if len(kept) <= KEPT or _total([widths[j] for j in kept]) <= room:
            break
        if i != 0:
            kept.remove(i)
    return kept


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + PADDING * len(widths)


def _head(text: str, width: int) -> list[str]:
    """A heading on as many lines as it takes not to be wider than its cells, unless a word is."""
    words = text.split() or [""]
    return textwrap.wrap(text, max(width, *map(len, words), 1), break_long_words=False) or [""]


def _printable(text: str) -> str:
    """Names are anybody's: what would move the cursor or change its colour is shown as the character that it is not."""
    return "".join(one if one.isprintable() else "\ufffd" for one in text)
