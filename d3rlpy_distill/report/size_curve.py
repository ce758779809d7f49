"""Return against the number of samples, as a sweep found it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import appears_atomically
from ..sweeping.cell import SweepCell
from .colours import COLOURS, GREY
from .sweep import RANDOM, cell_heads, cell_mode, cell_splits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["save_size_curve", "size_curve_figure"]

MARKERS = "osD^vP*"
"""One more than there are colours: a pair comes back after 42 methods."""
POINT = tuple[float, float, float, float]


def save_size_curve(cells: Sequence[SweepCell], path: Path, *, overwrite: bool = False) -> Path:
    """Draws :func:`size_curve_figure` into a PNG file, which is returned.

    Raises:
        OutputExistsError: If the file exists and ``overwrite`` is False.
    """
    figure = size_curve_figure(cells)
    with appears_atomically(path, overwrite=overwrite) as partial:
        figure.savefig(partial, format="png", dpi=120)
    return path


def size_curve_figure(cells: Sequence[SweepCell]) -> Figure:
    """Draws return against the number of samples, one panel a task and split, one line a method.

    A point is the mean over distillation seeds of the mean over students; bars span the seeds' means. Random samples
    stand beside it, all data is a dotted line where the cells have it.
    """
    from matplotlib.figure import Figure

    heads, splits = cell_heads(cells), cell_splits(cells)
    tasks = sorted(set(heads))
    figure = Figure(figsize=(5 * len(splits), 3.6 * len(tasks)), layout="constrained")
    axes = figure.subplots(len(tasks), len(splits), squeeze=False)
    for (row, task), (column, split) in itertools.product(enumerate(tasks), enumerate(splits)):
        mine = [cell for head, cell in zip(heads, cells, strict=True) if head == task]
        axis = axes[row][column]
        for number, method in enumerate(sorted({cell.method for cell in mine})):
            own = _points([cell for cell in mine if cell.method == method], "distilled", split)
            _draw(axis, own, method, COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)])
        _draw(axis, _points(mine, RANDOM, split), f"{RANDOM} samples", GREY, "x")
        full = [arm for cell in mine if (arm := cell.arm("full", split))]
        if full:
            mean = float(np.mean([arm.mean for arm in full]))
            axis.axhline(mean, linestyle=":", color="black", label=full[0].name)
        axis.set_title(f"{task}, {split}", parse_math=False)
        axis.set(xlabel="samples", ylabel=f"return, {cell_mode(mine)}", xscale="log")
        shown = sorted({cell.samples for cell in mine})  # the sizes themselves: powers of ten overlap
        axis.set_xticks(shown, [str(size) for size in shown])
        axis.set_xticks([], minor=True)
        for text in axis.legend(frameon=False).get_texts():
            text.set_parse_math(False)  # names are anybody's
    return figure


def _points(cells: Sequence[SweepCell], kind: str, split: str) -> list[POINT]:
    """Size, smallest, mean and largest of the seeds' means."""
    points = []
    for size in sorted({cell.samples for cell in cells}):
        means = [arm.mean for cell in cells if cell.samples == size and (arm := cell.arm(kind, split))]
        if means:
            points.append((float(size), min(means), float(np.mean(means)), max(means)))
    return points


def _draw(axis: Any, points: Sequence[POINT], label: str, colour: str, marker: str) -> None:
    if points:
        sizes, low, mean, high = (list(values) for values in zip(*points, strict=True))
        below, above = ([abs(x - m) for x, m in zip(ends, mean, strict=True)] for ends in (low, high))
        axis.errorbar(sizes, mean, yerr=[below, above], color=colour, marker=marker, capsize=3, label=label)
