"""Renders the results tables of the README from ``benchmarks/results``.

Run: ``python benchmarks/update_readme.py``"""

from __future__ import annotations

import re
from pathlib import Path

from d3rlpy_distill.evaluation import Results
from d3rlpy_distill.report import build_tables, render

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"(<!-- results: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def updated(text: str) -> str:
    """Returns the text with every block between ``<!-- results: GAME -->`` and ``<!-- end -->`` rendered anew."""

    def block(match: re.Match[str]) -> str:
        results = Results.load(ROOT / "benchmarks" / "results" / f"{match[2]}.json")
        return f"{match[1]}{render(build_tables(results), 'md')}\n{match[3]}"

    return BLOCK.sub(block, text)


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(updated(readme.read_text()))
