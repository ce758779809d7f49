"""What a sweep found: a table of its cells, the size curve and the cost."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.results import ArmResult
from ..files import appears_atomically
from ..sweeping.cell import SweepCell
from .cells import return_cell
from .table import Table
from .verdicts import gain

__all__ = ["save_size_curve", "sweep_tables"]

RANDOM = "random"
POINT = tuple[float, float, float, float]


def sweep_tables(cells: Sequence[SweepCell]) -> list[Table]:
    """Returns the cells' returns, and what a distillation costs and saves.

    A student of all data takes as many seconds as it did on the same dataset with the same seed. Break-even is the
    number of students from which distilling and training on the samples takes less time than training on everything.
    """
    return [_returns_table(cells), _cost_table(cells)]


def _full(cells: Sequence[SweepCell], cell: SweepCell, split: str) -> ArmResult | None:
    """The arm of all data of the cell's dataset, student and seed, in whichever cell it was trained."""
    same = [other for other in cells if (other.source, other.seed) == (cell.source, cell.seed)]
    return next((arm for other in same if (arm := other.arm("full", split))), None)


def _splits(cells: Sequence[SweepCell]) -> list[str]:
    return list(dict.fromkeys(split for cell in cells for split in cell.results.splits))


def _heads(cells: Sequence[SweepCell]) -> list[str]:
    """What stands for each cell's task; its file and its student, too, where a task has several."""
    heads = []
    for cell in cells:
        task, data, student = cell.source
        same = [other.source for other in cells if other.task == task]
        parts = [cell.results.title]
        if any(other[1] != data for other in same):
            parts.append(str(cell.results.provenance.get("real", {}).get("file", data)))
        if any(other[2] != student for other in same):
            parts.append(str(student))
        heads.append(", ".join(parts))
    return heads


def _key(head: str, cell: SweepCell) -> tuple[str, ...]:
    return head, cell.method, f"{cell.samples}", f"{cell.seed}"


def _mode(cells: Sequence[SweepCell]) -> str:
    sampled = any(arm.mode == "sampled" for cell in cells for arm in cell.results.arms)
    return "sampled actions" if sampled else "greedy actions"


def _returns_table(cells: Sequence[SweepCell]) -> Table:
    full_name = next((arm.name for c in cells for s in c.results.splits if (arm := c.arm("full", s))), "all data")
    splits, rows = _splits(cells), []
    for head, cell in zip(_heads(cells), cells, strict=True):
        row = [*_key(head, cell)]
        for split in splits:
            random, distilled = cell.arm(RANDOM, split), cell.arm("distilled", split)
            row += [
                return_cell(random),
                return_cell(distilled),
                "" if distilled is None else gain(distilled, random),
                return_cell(_full(cells, cell, split)),
            ]
        rows.append(tuple(row))
    heads = (RANDOM, "distilled", "gain [95%]", full_name)
    returns = [f"{what}, {split}" for split in splits for what in heads]
    title = f"Sweep: mean return ± deviation over students, {_mode(cells)}"
    return Table(title, ("task", "method", "samples", "seed", *returns), rows)


def _cost_table(cells: Sequence[SweepCell]) -> Table:
    rows = []
    for head, cell in zip(_heads(cells), cells, strict=True):
        split = next(iter(cell.results.splits))
        distilled, full = cell.arm("distilled", split), _full(cells, cell, split)
        if distilled is None:
            continue
        saved = None if full is None else full.train_seconds - distilled.train_seconds
        known = saved is not None and saved > 0 and math.isfinite(cell.seconds)
        rows.append(
            (
                *_key(head, cell),
                f"{cell.seconds:.0f}",
                f"{distilled.bytes / 1e6:.2f}",
                f"{distilled.train_seconds:.1f}",
                "" if saved is None else f"{saved:.1f}",
                f"{math.ceil(cell.seconds / saved)}" if known and saved else "",
            )
        )
    columns = ("task", "method", "samples", "seed", "seconds to distil", "MB", "seconds a student",
               "seconds saved a student", "break-even, students")  # fmt: skip
    return Table("Sweep: cost", columns, rows)


def save_size_curve(cells: Sequence[SweepCell], path: Path, *, overwrite: bool = False) -> Path:
    """Draws return against the number of samples, one panel a task and split, one line a method; returns the PNG.

    A point is the mean over distillation seeds of the mean over students; bars span the seeds' means. Random samples
    stand beside it, all data is a dotted line where the cells have it.

    Raises:
        OutputExistsError: If the file exists and ``overwrite`` is False.
    """
    from matplotlib.figure import Figure

    heads, splits = _heads(cells), _splits(cells)
    tasks = sorted(set(heads))
    figure = Figure(figsize=(5 * len(splits), 3.6 * len(tasks)), layout="constrained")
    axes = figure.subplots(len(tasks), len(splits), squeeze=False)
    for (row, task), (column, split) in itertools.product(enumerate(tasks), enumerate(splits)):
        mine = [cell for head, cell in zip(heads, cells, strict=True) if head == task]
        axis = axes[row][column]
        for method in sorted({cell.method for cell in mine}):
            _draw(axis, _points([cell for cell in mine if cell.method == method], "distilled", split), method)
        _draw(axis, _points(mine, RANDOM, split), f"{RANDOM} samples")
        full = [arm for cell in mine if (arm := cell.arm("full", split))]
        if full:
            mean = float(np.mean([arm.mean for arm in full]))
            axis.axhline(mean, linestyle=":", color="black", label=full[0].name)
        axis.set(title=f"{task}, {split}", xlabel="samples", ylabel=f"return, {_mode(mine)}", xscale="log")
        shown = sorted({cell.samples for cell in mine})  # the sizes themselves: powers of ten overlap
        axis.set_xticks(shown, [str(size) for size in shown])
        axis.set_xticks([], minor=True)
        axis.legend()
    with appears_atomically(path, overwrite=overwrite) as partial:
        figure.savefig(partial, format="png", dpi=120)
    return path


def _points(cells: Sequence[SweepCell], kind: str, split: str) -> list[POINT]:
    """Size, smallest, mean and largest of the seeds' means."""
    points = []
    for size in sorted({cell.samples for cell in cells}):
        means = [arm.mean for cell in cells if cell.samples == size and (arm := cell.arm(kind, split))]
        if means:
            points.append((float(size), min(means), float(np.mean(means)), max(means)))
    return points


def _draw(axis: Any, points: Sequence[POINT], label: str) -> None:
    if points:
        sizes, low, mean, high = (list(values) for values in zip(*points, strict=True))
        below, above = ([abs(x - m) for x, m in zip(ends, mean, strict=True)] for ends in (low, high))
        axis.errorbar(sizes, mean, yerr=[below, above], marker="o", capsize=3, label=label)
