"""Results as a tidy CSV."""

from __future__ import annotations

import csv
import io

from .contents import Report
from .records import build_records

__all__ = ["write_csv"]


def write_csv(report: Report) -> str:
    """Returns a row for each arm, split and mode, see :func:`~.records.build_records`; None is an empty cell.

    Numbers are written in full: read back they are the same.
    """
    records, out = build_records(report), io.StringIO()
    writer = csv.DictWriter(out, list(records[0]) if records else ["task"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue().rstrip("\n")
