"""Results as JSON records, with what they are of."""

from __future__ import annotations

import json

from .contents import Report
from .records import build_records

__all__ = ["write_json"]


def write_json(report: Report) -> str:
    """Returns ``{"records": [...], "metadata": [...]}``.

    Records are those of :func:`~.records.build_records`. The metadata has an object for each evaluation, or cell of a
    sweep: its task, the titles of its splits, its protocol and its provenance.
    """
    every = [*report.evaluations, *(cell.results for cell in report.cells)]
    metadata = [
        {
            "task": one.task,
            "splits": dict(one.splits),
            "protocol": dict(one.protocol),
            "provenance": dict(one.provenance),
        }
        for one in every
    ]
    return json.dumps({"records": build_records(report), "metadata": metadata}, ensure_ascii=False)
