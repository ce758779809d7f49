"""A plot for every file of ``benchmarks/results``, drawn by the functions of the reports."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from d3rlpy_distill.report import read_report, save_size_curve
from d3rlpy_distill.report.returns import save_returns
from links import ROOT

__all__ = ["plots", "with_plots"]

RESULTS = ROOT / "benchmarks" / "results"
BLOCK = re.compile(r"<!-- results: ([\w/-]+) -->\n")


def plots() -> Iterator[tuple[str, bytes]]:
    """Yields the place on the site and the PNG of each."""
    for path in sorted(RESULTS.glob("*.json")):
        with tempfile.TemporaryDirectory() as directory:
            report, picture = read_report(path), Path(directory) / "plot.png"
            if isinstance(report, list):
                save_size_curve(report, picture)
            else:
                save_returns(report, picture)
            yield f"plots/{path.stem}.png", picture.read_bytes()


def with_plots(text: str) -> str:
    """Returns Markdown with the plot before every block of tables that ``benchmarks/update_readme.py`` renders."""

    def block(match: re.Match[str]) -> str:
        place = f"plots/{match[1]}.png"
        return f"[![{match[1]}: mean return of every arm]({place})]({place})\n\n{match[0]}"

    return BLOCK.sub(block, text)
