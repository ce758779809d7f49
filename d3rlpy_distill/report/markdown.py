"""Tables as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from .contents import Report
from .table import Table

__all__ = ["render", "write_markdown"]


def write_markdown(report: Report) -> str:
    """Returns the tables of a report."""
    return render(report.tables)


def render(tables: Sequence[Table]) -> str:
    """Returns tables as Markdown, without a newline at the end."""
    return "\n\n".join(_table(table) for table in tables)


def _table(table: Table) -> str:
    lines = [
        f"**{table.title}**",
        "",
        _pipes(table.columns),
        _pipes(["---", *["---:"] * (len(table.columns) - 1)]),
    ]
    note = ["", f"*{table.note}*"] if table.note else []
    return "\n".join([*lines, *(_pipes(row) for row in table.rows), *note])


def _pipes(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
