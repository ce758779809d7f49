"""A plot for every evaluation of ``benchmarks/results``, drawn by the function of the reports."""

from __future__ import annotations

import functools
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from links import ROOT

from d3rlpy_distill.evaluation import Results
from d3rlpy_distill.report import read_report
from d3rlpy_distill.report.returns import save_returns

__all__ = ["plots", "with_plots"]

RESULTS = ROOT / "benchmarks" / "results"
BLOCK = re.compile(r"<!-- results: ([\w/-]+) -->\n")


def plots() -> Iterator[tuple[str, bytes]]:
    """Yields the place on the site and the PNG of each."""
    for name, results in _evaluations().items():
        with tempfile.TemporaryDirectory() as directory:
            picture = save_returns(results, Path(directory) / "plot.png")
            yield f"plots/{name}.png", picture.read_bytes()


def with_plots(text: str) -> str:
    """Returns Markdown with the plot before every block of tables that ``benchmarks/update_readme.py`` renders.

    A sweep has its plot in the text.
    """

    def block(match: re.Match[str]) -> str:
        if match[1] not in _evaluations():
            return match[0]
        place = f"plots/{match[1]}.png"
        return f"[![{match[1]}: mean return of every arm]({place})]({place})\n\n{match[0]}"

    return BLOCK.sub(block, text)


@functools.cache
def _evaluations() -> dict[str, Results]:
    reports = {path.stem: read_report(path) for path in sorted(RESULTS.glob("*.json"))}
    return {name: report for name, report in reports.items() if isinstance(report, Results)}
