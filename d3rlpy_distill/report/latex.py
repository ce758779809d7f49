"""Tables for LaTeX, ruled by the package booktabs."""

from __future__ import annotations

from collections.abc import Sequence

from .contents import Report
from .table import Table

__all__ = ["write_latex"]

ESCAPED = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "%": r"\%",
    "_": r"\_",
    "&": r"\&",
    "#": r"\#",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
}


def write_latex(report: Report) -> str:
    """Returns the tables of a report; a document that holds them needs ``\\usepackage{booktabs}``."""
    return "\n\n".join([r"% needs \usepackage{booktabs}", *(_table(table) for table in report.tables)])


def _table(table: Table) -> str:
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_escape(table.title)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
        r"\toprule",
        _row(table.columns),
        r"\midrule",
        *(_row(row) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        *([rf"\par {_escape(table.note)}"] if table.note else []),
        r"\end{table}",
    ]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    # a bracket that begins a row would be read as an argument of the \\ before it
    return " & ".join(f"{{{one}}}" if one.startswith("[") else one for one in map(_escape, cells)) + r" \\"


def _escape(text: str) -> str:
    return "".join(ESCAPED.get(character, character) for character in " ".join(text.split()))
