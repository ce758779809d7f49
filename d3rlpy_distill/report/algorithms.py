"""The table algorithm x dataset."""

from __future__ import annotations

from ..evaluation.algorithm_benchmark import algorithm_arm
from ..evaluation.results import Results
from ..presets import Budget
from .table import SPLIT_TITLES, Table

__all__ = ["algorithm_tables"]


def algorithm_tables(results: Results) -> list[Table]:
    """Returns the tables of ``rld-distill evaluate --algos``: one a split, an algorithm a row, a dataset a column.

    The reference policies have a row each, with one figure.
    """
    datasets: list[str] = results.protocol["datasets"]
    tables = []
    for split, (_, where) in SPLIT_TITLES.items():
        rows = []
        for policy in ("random-policy", "expert"):
            rows.append((policy, _cell(results, policy, split), *([""] * (len(datasets) - 1))))
        for algorithm in results.protocol["algorithms"]:
            rows.append((algorithm, *(_cell(results, algorithm_arm(algorithm, name), split) for name in datasets)))
        count, episodes = results.protocol["students"], results.protocol["episodes"]
        real, small = (Budget(**results.protocol[name]) for name in ("bc", "synthetic"))
        title = (
            f"Algorithms: {results.game}, {where}, {count} students x {episodes} episodes, real data {real}, "
            f"small sets {small}, actions sampled (best action for cql, bcq and dqn)"
        )
        tables.append(Table(title, ("algorithm", *datasets), rows))
    return tables


def _cell(results: Results, arm: str, split: str) -> str:
    entry = results.get(arm, split, "sampled")
    return f"{entry.mean:.2f} ± {entry.std:.2f}" if entry else ""
