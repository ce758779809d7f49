"""A format of reports in one file: tables of reStructuredText, as Sphinx reads them.

rld-distill report benchmarks/results/starpilot.json --plugin examples/add_a_format.py --format rst
"""

from __future__ import annotations

from d3rlpy_distill import register_format
from d3rlpy_distill.report import Report, Table


@register_format("rst")
def write_rst(report: Report) -> str:
    """Tables as reStructuredText."""
    return "\n\n".join(map(_written, report.tables))


def _written(table: Table) -> str:
    rows = [table.columns, *table.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    head, *body = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join([table.title, "-" * len(table.title), "", rule, head, rule, *body, rule])
