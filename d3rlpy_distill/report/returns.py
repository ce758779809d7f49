"""Bar charts of the mean return of every arm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..evaluation.results import ArmResult, Results
from ..files import appears_atomically
from .arm_sizes import has_sizes, save_arm_sizes
from .colours import family
from .contents import Report
from .intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SIZE_CURVE", "figure_paths", "returns_figure", "save_figures", "save_returns"]

SIZE_CURVE = "size-curve.png"
ARM_SIZES = "sizes.png"
PANELS = 2
"""In a row."""
KEYS = 3
"""In a row."""
FAR = 3
"""An expert who returns more than so many times what all others do stands in the title: its bar would dwarf theirs."""


def returns_figure(panels: Sequence[tuple[Results, str]]) -> Figure:
    """Draws a panel for each evaluation and split, a bar for each arm, labelled by its name.

    A bar is the mean return with actions sampled, greedy where a task has nothing else; its colour is the kind of arm.
    Whiskers are the 95% bootstrap interval of the mean over students, over episodes where there is one policy. A dot is
    a student.

    Args:
        panels: Evaluations, each with one of its splits.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    shown = [(results, split, *_arms(results, split)) for results, split in panels]
    columns = min(PANELS, len(shown))
    lines = -(-len(shown) // columns)
    tallest = max(len(bars) for _, _, bars, _ in shown)
    figure = Figure(figsize=(6.5 * columns, lines * (1.0 + 0.3 * tallest) + 0.6), layout="constrained")
    axes = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axis in axes:
        axis.set_visible(False)
    key: dict[str, str] = {}
    for axis, (results, split, bars, note) in zip(axes, shown, strict=False):
        axis.set_visible(True)
        for place, arm in enumerate(bars):
            name, colour = family(arm.about)
            key.setdefault(name, colour)
            _draw(axis, place, arm, colour)
        axis.set_yticks(range(len(bars)), [arm.name for arm in bars], parse_math=False)
        axis.invert_yaxis()  # the first arm on top, as in the tables
        axis.margins(y=0.01)
        axis.set_title(f"{results.title}, {results.splits[split]}{note}", fontsize=10, parse_math=False)
        axis.set_xlabel("mean return, 95% interval" + _mode(bars), fontsize=9)
        axis.grid(axis="x", alpha=0.3)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    handles: list[Any] = [Patch(color=colour, label=name) for name, colour in key.items()]
    if any(arm.n_students > 1 for _, _, bars, _ in shown for arm in bars):
        handles.append(Line2D([], [], marker=".", color="black", linestyle="", alpha=0.45, label="one student"))
    figure.legend(handles=handles, loc="outside lower center", ncols=KEYS, frameon=False, fontsize=9)
    return figure


def save_returns(results: Results, path: Path, *, overwrite: bool = False) -> Path:
    """Draws one evaluation, a panel for each split, see :func:`returns_figure`.

    Args:
        results: The evaluation.
        path: PNG file.
        overwrite: Replace what is there; by default it is refused.

    Returns:
        The file.

    Raises:
        OutputExistsError: If the file exists.
    """
    return _save(returns_figure([(results, split) for split in results.splits]), path, overwrite)


def save_figures(results: Sequence[Results], directory: Path, *, overwrite: bool = False) -> list[Path]:
    """Draws a figure for each split, a panel for each evaluation that has it, see :func:`returns_figure`.

    Evaluations with sets of several sizes have one more, see :func:`~.arm_sizes.arm_sizes_figure`.

    Args:
        results: One or more evaluations.
        directory: Where ``returns-SPLIT.png`` go, and ``sizes.png``.
        overwrite: Replace what is there; by default it is refused.

    Returns:
        The files.

    Raises:
        OutputExistsError: If a file exists.
    """
    drawn = [
        _save(
            returns_figure([(result, split) for result in results if split in result.splits]),
            _path(directory, split),
            overwrite,
        )
        for split in _splits(results)
    ]
    if sized := [one for one in results if has_sizes(one)]:
        drawn.append(save_arm_sizes(sized, directory / ARM_SIZES, overwrite=overwrite))
    return drawn


def figure_paths(report: Report, directory: Path) -> list[Path]:
    """Returns the files that ``report --figures`` draws: a figure for each split, and those of sizes."""
    drawn = [_path(directory, split) for split in _splits(report.evaluations)]
    drawn += [directory / ARM_SIZES] if any(map(has_sizes, report.evaluations)) else []
    return drawn + ([directory / SIZE_CURVE] if report.cells else [])


def _splits(results: Sequence[Results]) -> list[str]:
    return list(dict.fromkeys(split for result in results for split in result.splits))


def _path(directory: Path, split: str) -> Path:
    return directory / f"returns-{split}.png"


def _arms(results: Results, split: str) -> tuple[list[ArmResult], str]:
    """What has a bar, and what the title says of an expert that has none: the same on every split."""
    arms = _of_split(results, split)
    if not any(_dwarfed(_of_split(results, each)) for each in results.splits):
        return arms, ""
    bars = [arm for arm in arms if arm.about.kind != "expert"]
    far = [arm for arm in arms if arm.about.kind == "expert"]
    return bars, "".join(f" ({arm.name}: {arm.mean:.1f})" for arm in far)


def _of_split(results: Results, split: str) -> list[ArmResult]:
    return [arm for name in results.names() if (arm := results.main(name, split)) is not None]


def _dwarfed(arms: Sequence[ArmResult]) -> bool:
    """Whether an expert's bar would dwarf all others."""
    others = [arm.mean for arm in arms if arm.about.kind != "expert"]
    experts = [arm.mean for arm in arms if arm.about.kind == "expert"]
    return bool(others) and any(mean > FAR * max(*others, 0.0) for mean in experts)


def _draw(axis: Any, place: int, arm: ArmResult, colour: str) -> None:
    low, high = mean_interval(arm)
    axis.barh(place, arm.mean, height=0.75, color=colour, alpha=0.85)
    whiskers = [[max(0.0, arm.mean - low)], [max(0.0, high - arm.mean)]]
    axis.errorbar(arm.mean, place, xerr=whiskers, color="black", capsize=3, linewidth=1.2)
    if arm.n_students > 1:
        means = arm.returns.mean(1)
        axis.plot(means, np.full(len(means), place), ".", color="black", markersize=4, alpha=0.45)


def _mode(arms: Sequence[ArmResult]) -> str:
    modes = {arm.mode for arm in arms}
    return {"sampled": ", actions sampled", "greedy": ", greedy actions"}[modes.pop()] if len(modes) == 1 else ""


def _save(figure: Figure, path: Path, overwrite: bool) -> Path:
    with appears_atomically(path, overwrite=overwrite) as partial:
        figure.savefig(partial, format="png", dpi=120)
    return path
