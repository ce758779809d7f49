"""Renders the results tables of the documents from ``benchmarks/results``.

Run: ``python benchmarks/update_readme.py``"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from d3rlpy_distill.evaluation import Results, difference_interval
from d3rlpy_distill.report import Table, build_tables, render

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
DOCUMENTS = ("README.md", "docs/algorithms.md", "docs/other-datasets.md")
BLOCK = re.compile(r"(<!-- (results: (?P<name>[\w-]+)|tasks) -->\n).*?(<!-- end -->)", re.DOTALL)


def updated(text: str) -> str:
    """Returns the text with every block rendered anew.

    ``<!-- results: NAME -->`` to ``<!-- end -->`` holds the tables of a results file, ``<!-- tasks -->`` the one
    of ``gymnasium_tasks.py``.
    """

    def block(match: re.Match[str]) -> str:
        tables = (
            build_tables(Results.load(RESULTS / f"{match['name']}.json")) if match["name"] else [tasks_table()]
        )
        return f"{match[1]}{render(tables, 'md')}\n{match[4]}"

    return BLOCK.sub(block, text)


def tasks_table() -> Table:
    """Returns the table of all files in ``benchmarks/results/tasks``."""
    rows = []
    for path in sorted((RESULTS / "tasks").glob("*.json")):
        record = json.loads(path.read_text())
        full, random, distilled = (np.array(record["returns"][name]) for name in ("full", "random", "distilled"))
        value, low, high = difference_interval(distilled[:, None], random[:, None], np.random.default_rng(0))
        learner = record["learner"] + (", rewards learned" if record["rewards"] == "learned" else "")
        rows.append(
            (
                record["task"],
                f"{learner}, {record['objective']}",
                f"{record['transitions']:,}",
                f"{record['policy_return']:.1f}",
                f"{record['samples']}",
                f"{record['student_steps']}",
                *(f"{x.mean():.1f} ± {x.std(ddof=1):.1f}" for x in (full, random, distilled)),
                f"{value:+.1f} [{low:+.1f}, {high:+.1f}]",
                f"{record['seconds']:.0f}",
            )
        )
    columns = ("task", "learner, objective", "transitions", "policy", "samples", "student steps", "full data",
               "random", "distilled", "gain over random [95%]", "seconds to distil")  # fmt: skip
    return Table("gymnasium tasks, mean return of 10 students x 20 episodes, greedy", columns, rows)


if __name__ == "__main__":
    for name in DOCUMENTS:
        document = ROOT / name
        document.write_text(updated(document.read_text()))
