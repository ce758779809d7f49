"""One evaluation as one picture: the mean return of every arm, a bar for each split."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..evaluation.results import Results
from ..files import appears_atomically

__all__ = ["save_returns"]


def save_returns(results: Results, path: Path, *, overwrite: bool = False) -> Path:
    """Draws a group of bars for every arm; a dot is a student. The expert is a dotted line.

    Args:
        results: One evaluation.
        path: PNG file.
        overwrite: Replace what is there; by default it is refused.

    Returns:
        The file.

    Raises:
        OutputExistsError: If the file exists.
    """
    from matplotlib.figure import Figure

    experts = results.find(["expert"])
    names = [name for name in results.names() if name not in experts]
    figure = Figure(figsize=(max(6.0, 1.6 * len(names)), 4), layout="constrained")
    axis = figure.subplots()
    width = 0.8 / len(results.splits)
    for k, (split, title) in enumerate(results.splits.items()):
        places = np.arange(len(names)) + (k - (len(results.splits) - 1) / 2) * width
        entries = [results.main(name, split) for name in names]
        heights = [0.0 if entry is None else entry.mean for entry in entries]
        bars = axis.bar(places, heights, width=0.92 * width, label=title, alpha=0.75)
        for place, entry in zip(places, entries, strict=True):
            if entry is not None and entry.n_students > 1:
                axis.plot(
                    np.full(entry.n_students, place), entry.returns.mean(1), ".", color="black", markersize=5
                )
        for expert in experts:
            entry = results.main(expert, split)
            if entry is not None:
                colour = bars.patches[0].get_facecolor()
                axis.axhline(entry.mean, linestyle=":", color=colour, label=f"expert, {title}")
    axis.set_xticks(np.arange(len(names)), names, rotation=20, ha="right")
    axis.set(ylabel="return", title=f"{results.title}: mean return, a dot is a student")
    axis.legend(fontsize=8)
    with appears_atomically(path, overwrite=overwrite) as partial:
        figure.savefig(partial, format="png", dpi=120)
    return path
