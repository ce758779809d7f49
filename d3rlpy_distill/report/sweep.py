"""What a sweep found: a table of its cells, the size curve and the cost."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..evaluation.results import ArmResult
from ..evaluation.statistics import difference_interval
from ..files import appears_atomically
from .sweep_cell import SweepCell, method_arm
from .table import SPLIT_TITLES, Table

__all__ = ["save_size_curve", "sweep_tables"]

RETURN_AXIS = "return, sampled actions"


def sweep_tables(cells: Sequence[SweepCell]) -> list[Table]:
    """Returns the cells' returns, and what a distillation costs and saves.

    A student of the full data takes as many seconds as ``bc-100`` did on the same game with the same seed.
    Break-even is the number of students from which distilling and training on the samples takes less time than
    training on everything.
    """
    return [_returns_table(cells), _cost_table(cells)]


def _full(cells: Sequence[SweepCell], cell: SweepCell, split: str) -> ArmResult | None:
    """The arm ``bc-100`` of the cell's game and seed, in whichever cell it was trained."""
    same = [other for other in cells if (other.game, other.seed) == (cell.game, cell.seed)]
    return next((arm for other in same if (arm := other.results.get("bc-100", split, "sampled"))), None)


def _returns_table(cells: Sequence[SweepCell]) -> Table:
    rows = []
    for cell in cells:
        row = [cell.game, cell.method, f"{cell.samples}", f"{cell.seed}"]
        for split in SPLIT_TITLES:
            random = cell.results.get(f"random-{cell.samples}", split, "sampled")
            distilled = cell.results.get(method_arm(cell.method, cell.samples), split, "sampled")
            assert random is not None and distilled is not None
            value, low, high = difference_interval(
                np.array(distilled.returns), np.array(random.returns), np.random.default_rng(0)
            )
            full = _full(cells, cell, split)
            row += [
                f"{random.mean:.2f} ± {random.std:.2f}",
                f"{distilled.mean:.2f} ± {distilled.std:.2f}",
                f"{value:+.2f} [{low:+.2f}, {high:+.2f}]",
                "" if full is None else f"{full.mean:.2f} ± {full.std:.2f}",
            ]
        rows.append(tuple(row))
    heads = ("random", "distilled", "gain [95%]", "bc-100")
    returns = [f"{what}, {split}" for split in SPLIT_TITLES for what in heads]
    columns = ("game", "method", "samples", "seed", *returns)
    return Table("Sweep: mean return ± deviation over students, sampled actions", columns, rows)


def _cost_table(cells: Sequence[SweepCell]) -> Table:
    rows = []
    for cell in cells:
        distilled = cell.results.get(method_arm(cell.method, cell.samples), "id", "sampled")
        full = _full(cells, cell, "id")
        assert distilled is not None
        saved = full.train_seconds - distilled.train_seconds if full else None
        known = saved is not None and saved > 0 and np.isfinite(cell.seconds)
        worth = f"{int(np.ceil(cell.seconds / saved))}" if known and saved else ""
        rows.append(
            (
                cell.game,
                cell.method,
                f"{cell.samples}",
                f"{cell.seed}",
                f"{cell.seconds:.0f}",
                f"{distilled.bytes / 1e6:.2f}",
                f"{distilled.train_seconds:.1f}",
                "" if saved is None else f"{saved:.1f}",
                worth,
            )
        )
    columns = ("game", "method", "samples", "seed", "seconds to distil", "MB", "seconds a student",
               "seconds saved a student", "break-even, students")  # fmt: skip
    return Table("Sweep: cost", columns, rows)


def save_size_curve(cells: Sequence[SweepCell], path: Path) -> Path:
    """Draws return against the number of samples, one panel a game and split, one line a method; returns the PNG.

    A point is the mean over distillation seeds of the mean over students; bars span the seeds' means.
    ``random-N`` stands beside it, ``bc-100`` is a dotted line where the cells have it.
    """
    from matplotlib.figure import Figure

    games = sorted({cell.game for cell in cells})
    figure = Figure(figsize=(5 * len(SPLIT_TITLES), 3.6 * len(games)), layout="constrained")
    axes = figure.subplots(len(games), len(SPLIT_TITLES), squeeze=False)
    for (row, game), (column, split) in itertools.product(enumerate(games), enumerate(SPLIT_TITLES)):
        axis, mine = axes[row][column], [cell for cell in cells if cell.game == game]
        for method in [*sorted({cell.method for cell in mine}), "random"]:
            points = _points([c for c in mine if method in (c.method, "random")], method, split)
            sizes, low, mean, high = np.array(points).T
            axis.errorbar(sizes, mean, yerr=[mean - low, high - mean], marker="o", capsize=3, label=method)
        full = [arm.mean for c in mine if (arm := c.results.get("bc-100", split, "sampled"))]
        if full:
            axis.axhline(float(np.mean(full)), linestyle=":", color="black", label="bc-100")
        axis.set(title=f"{game}, {split}", xlabel="samples", ylabel=RETURN_AXIS, xscale="log")
        shown = sorted({cell.samples for cell in mine})  # the sizes themselves: powers of ten overlap
        axis.set_xticks(shown, [str(size) for size in shown])
        axis.set_xticks([], minor=True)
        axis.legend()
    with appears_atomically(path) as partial:
        figure.savefig(partial, format="png", dpi=120)
    return path


def _points(cells: Sequence[SweepCell], method: str, split: str) -> list[tuple[float, float, float, float]]:
    """Size, smallest, mean and largest of the seeds' means."""
    points = []
    for size in sorted({cell.samples for cell in cells}):
        name = f"random-{size}" if method == "random" else method_arm(method, size)
        arms = [c.results.get(name, split, "sampled") for c in cells if c.samples == size]
        means = [arm.mean for arm in arms if arm is not None]
        points.append((float(size), min(means), float(np.mean(means)), max(means)))
    return points
