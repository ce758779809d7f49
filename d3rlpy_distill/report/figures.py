"""The paper's figures 3 and 4, from our results: returns of every arm on seen and on unseen levels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..evaluation.results import Results
from ..files import appears_atomically

__all__ = ["save_figures"]

FIGURES = {"figure-3-id": ("id", "Seen levels (ID)"), "figure-4-ood": ("ood", "Unseen levels (OOD)")}
COLOURS = {"distilled": "tab:red", "init": "tab:orange", "random": "tab:gray", "balanced": "tab:olive"}


def save_figures(results: Sequence[Results], directory: Path) -> list[Path]:
    """Draws one panel a game: mean return with sampled actions, bars of one standard deviation over students.

    The expert's return stands as a dotted line where it fits, else in the title.

    Args:
        results: One or more games.
        directory: Where ``figure-3-id.png`` and ``figure-4-ood.png`` go.

    Returns:
        The files.
    """
    from matplotlib.figure import Figure

    paths = []
    for stem, (split, title) in FIGURES.items():
        figure = Figure(figsize=(6 * len(results), 4), layout="constrained")
        axes = figure.subplots(1, len(results), squeeze=False)[0]
        for axis, result in zip(axes, results, strict=True):
            arms = [a for a in result.arms if a.split == split and a.mode == "sampled"]
            shown = [a for a in arms if a.name != "expert"]
            names = [a.name for a in shown]
            colours = [COLOURS.get(name.split("-")[0], "tab:blue") for name in names]
            axis.bar(
                names,
                [a.mean for a in shown],
                yerr=[_spread(a.std, a.n_students) for a in shown],
                color=colours,
                capsize=3,
            )
            expert = next((a for a in arms if a.name == "expert"), None)
            note = f", expert {expert.mean:.1f}" if expert else ""
            axis.set_title(f"{result.game}: {title}{note}")
            axis.set_ylabel("return")
            axis.tick_params(axis="x", rotation=60)
        path = directory / f"{stem}.png"
        with appears_atomically(path) as partial:
            figure.savefig(partial, format="png", dpi=120)
        paths.append(path)
    return paths


def _spread(std: float, n_students: int) -> float:
    return std if n_students > 1 else 0.0  # over the episodes of one policy it would dwarf the others
