"""Tables as Markdown, LaTeX, CSV or JSON text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

from .table import Table

__all__ = ["FORMATS", "render"]

FORMATS = ("md", "latex", "csv", "json")

LATEX = {"\\": r"\textbackslash{}", "%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#", "±": r"$\pm$"}


def render(tables: Sequence[Table], how: str = "md") -> str:
    """Returns the tables as text, without a newline at the end.

    Args:
        tables: The tables.
        how: One of :data:`FORMATS`.

    Raises:
        ValueError: If ``how`` is none of them.
    """
    if how == "json":
        value = [{"title": t.title, "columns": t.columns, "rows": t.rows} for t in tables]
        return json.dumps({"tables": value}, ensure_ascii=False)
    renderers = {"md": _markdown, "latex": _latex, "csv": _csv}
    if how not in renderers:
        raise ValueError(f"format={how!r}: expected one of {', '.join(FORMATS)}.")
    return "\n\n".join(renderers[how](table) for table in tables)


def _markdown(table: Table) -> str:
    lines = [
        f"**{table.title}**",
        "",
        _pipes(table.columns),
        _pipes(["---", *["---:"] * (len(table.columns) - 1)]),
    ]
    return "\n".join([*lines, *(_pipes(row) for row in table.rows)])


def _pipes(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _latex(table: Table) -> str:
    lines = [
        r"\begin{table}",
        rf"\caption{{{_escape(table.title)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
        r"\hline",
        _latex_row(table.columns),
        r"\hline",
        *(_latex_row(row) for row in table.rows),
        r"\hline",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines)


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(_escape(cell) for cell in cells) + r" \\"


def _escape(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)


def _csv(table: Table) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([f"# {table.title}"])
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    return out.getvalue().rstrip("\n")
