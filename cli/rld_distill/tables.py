"""How tables are shown: fitted to the terminal, or as Markdown where there is none."""

from __future__ import annotations

import shlex
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.cells import cell_len

if TYPE_CHECKING:
    from rich.console import Console

    from d3rlpy_distill.report import Table

__all__ = ["print_table", "show_tables"]

GAP = 2
"""Spaces between columns."""
NARROWEST = 10
"""Headings are broken into no shorter lines, unless they are shorter themselves."""
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
    from rich.table import Table as RichTable
    from rich.text import Text

    columns = [_printable(column) for column in table.columns]
    rows = [[_printable(cell) for cell in row] for row in table.rows]
    cells = [max((cell_len(row[i]) for row in rows), default=0) for i in range(len(columns))]
    heads = [_head(column, width) for column, width in zip(columns, cells, strict=True)]
    widths = [max(width, *map(cell_len, head)) for width, head in zip(cells, heads, strict=True)]
    room = console.width
    kept = list(range(len(columns))) if wide else _fitting(table, widths, room)
    # between two columns the box draws one space itself
    drawn = RichTable(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    for i in kept:
        drawn.add_column(
            Text("\n".join(heads[i])),
            justify="left" if i == 0 else "right",
            vertical="bottom",
            no_wrap=True,
            width=widths[i],
            style="bold" if i == 0 else "",
        )
    for row in rows:
        drawn.add_row(*(Text(row[i]) for i in kept))
    for line in _lines(_printable(table.title).split(", "), ", ", room):
        console.print(Text(line, style="bold"))
    # wider than the terminal its lines run on: that can be read, and a number that is cut cannot
    console.width = max(room, _total([widths[i] for i in kept]))
    console.print(drawn, crop=False)
    console.width = room
    if table.note:
        for line in textwrap.wrap(_printable(table.note), room):
            console.print(Text(line))
    hidden = [columns[i] for i in range(len(columns)) if i not in kept]
    if hidden:
        told = f"{len(hidden)} column{'s' if len(hidden) > 1 else ''} hidden: {hidden[0]}"
        for line in _lines([told, *hidden[1:], advice], "; ", room):
            console.print(Text(line, style="dim"))


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
    return sum(widths) + GAP * len(widths)


def _head(text: str, width: int) -> list[str]:
    """A heading on as many lines as it takes to be about as narrow as its cells."""
    widest = max(width, NARROWEST, *map(len, text.split()))
    return textwrap.wrap(text, widest, break_long_words=False, break_on_hyphens=False) or [""]


def _lines(parts: Sequence[str], between: str, room: int) -> list[str]:
    """Parts joined to lines that fit where they can: what stands between two separators is not broken."""
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(between) + len(part) < room:  # a separator may follow
            lines[-1] += between + part
        else:
            lines[-1] += between.rstrip()
            lines.append(part)
    return lines


def _printable(text: str) -> str:
    """Names are anybody's: what would move the cursor or colour the text is shown as a character that cannot."""
    return "".join(one if one.isprintable() else "\ufffd" for one in text)
