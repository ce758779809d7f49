"""Bar charts of every arm's return, the paper's figures 3 and 4 among them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..evaluation.results import ArmResult, Results
from ..files import appears_atomically
from .paper import PAPER_FIGURES, reproduces_paper

__all__ = ["save_figures"]

COLOURS = {"distilled": "tab:red", "initial": "tab:orange", "random": "tab:gray", "balanced": "tab:olive"}


def save_figures(results: Sequence[Results], directory: Path, *, overwrite: bool = False) -> list[Path]:
    """Draws a figure for each split, a panel for each evaluation that has it.

    Bars are mean returns with sampled actions, greedy where a task has nothing else, and one standard deviation over
    students. The expert's return stands in the title, where it dwarfs nothing.

    Args:
        results: One or more evaluations.
        directory: Where ``returns-SPLIT.png`` go; of the paper's student on its games, ``figure-3-id.png`` and
            ``figure-4-ood.png``.
        overwrite: Replace what is there; by default it is refused.

    Returns:
        The files.

    Raises:
        OutputExistsError: If a file exists.
    """
    from matplotlib.figure import Figure

    paths = []
    for split in dict.fromkeys(split for result in results for split in result.splits):
        shown = [result for result in results if split in result.splits]
        figure = Figure(figsize=(6 * len(shown), 4), layout="constrained")
        axes = figure.subplots(1, len(shown), squeeze=False)[0]
        for axis, result in zip(axes, shown, strict=True):
            arms = [arm for name in result.names() if (arm := result.main(name, split)) is not None]
            bars = [arm for arm in arms if arm.about.kind != "expert"]
            axis.bar(
                [arm.name for arm in bars],
                [arm.mean for arm in bars],
                yerr=[_spread(arm) for arm in bars],
                color=[COLOURS.get(arm.about.kind, "tab:blue") for arm in bars],
                capsize=3,
            )
            where = result.splits[split]
            experts = [f", expert {arm.mean:.1f}" for arm in arms if arm.about.kind == "expert"]
            axis.set_title(f"{result.title}: {where[:1].upper()}{where[1:]}{''.join(experts)}")
            axis.set_ylabel("return")
            axis.tick_params(axis="x", rotation=60)
        stem = PAPER_FIGURES.get(split) if all(map(reproduces_paper, shown)) else None
        path = directory / f"{stem or f'returns-{split}'}.png"
        with appears_atomically(path, overwrite=overwrite) as partial:
            figure.savefig(partial, format="png", dpi=120)
        paths.append(path)
    return paths


def _spread(arm: ArmResult) -> float:
    return arm.std if arm.n_students > 1 else 0.0  # over the episodes of one policy it would dwarf the others
