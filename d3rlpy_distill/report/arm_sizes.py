"""Return against the size of what students are trained on, as evaluations found it: by samples, and by bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..evaluation.results import ArmResult, Results
from ..files import appears_atomically
from .colours import GREY, PINK, RED, SKY
from .intervals import mean_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["arm_sizes_figure", "has_sizes", "save_arm_sizes"]

LINES = (
    ("distilled", "soft", "distilled, soft labels", RED, "o"),
    ("random", "soft", "random frames, labels of the same teachers", PINK, "s"),
    ("distilled", "actions", "distilled, actions", SKY, "D"),
    ("random", "actions", "random frames, actions", GREY, "x"),
)
"""Kind and labels of the arms of a line, what it is called, and how it is drawn."""


def has_sizes(results: Results) -> bool:
    """Tells whether some line of :func:`arm_sizes_figure` would have two points or more."""
    split = next(iter(results.splits))
    return any(
        len({arm.samples for arm in _arms(results, split, student, kind, labels)}) > 1
        for student in results.students
        for kind, labels, *_ in LINES
    )


def save_arm_sizes(results: Sequence[Results], path: Path, *, overwrite: bool = False) -> Path:
    """Draws :func:`arm_sizes_figure` into a PNG file, which is returned.

    Raises:
        OutputExistsError: If the file exists and ``overwrite`` is False.
    """
    figure = arm_sizes_figure(results)
    with appears_atomically(path, overwrite=overwrite) as partial:
        figure.savefig(partial, format="png", dpi=120)
    return path


def arm_sizes_figure(results: Sequence[Results]) -> Figure:
    """Draws two panels for each evaluation, student and split: return against samples, and against megabytes.

    A point is an arm's mean return with its 95% bootstrap interval over students. Megabytes are those of
    :attr:`~..evaluation.results.ArmResult.bytes`. All data with actions is a dotted line.

    Args:
        results: Evaluations.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    panels = [(one, student, split) for one in results for student in one.students for split in one.splits]
    figure = Figure(figsize=(10, 3.4 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 2, squeeze=False)
    for row, (one, student, split) in zip(axes, panels, strict=True):
        for axis, by_bytes in zip(row, (False, True), strict=True):
            for kind, labels, name, colour, marker in LINES:
                _draw(axis, _arms(one, split, student, kind, labels), by_bytes, name, colour, marker)
            for arm in _arms(one, split, student, "full", "actions"):
                axis.axhline(arm.mean, linestyle=":", color="black", label=arm.name)
            axis.set_title(f"{one.title}, {student}, {one.splits[split]}", fontsize=10, parse_math=False)
            axis.set(
                xlabel="megabytes, uncompressed" if by_bytes else "samples", ylabel="mean return", xscale="log"
            )
            axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))
            # where sizes span a decade or two, matplotlib's own labels lie over each other
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:,g}"))
            axis.xaxis.set_minor_formatter(NullFormatter())
            if axis.get_legend_handles_labels()[0] and not by_bytes:
                for text in axis.legend(frameon=False, fontsize=8).get_texts():
                    text.set_parse_math(False)  # names are anybody's
    return figure


def _arms(results: Results, split: str, student: str, kind: str, labels: str) -> list[ArmResult]:
    names = results.find([kind], labels=labels, student=student)
    return [arm for name in names if (arm := results.main(name, split)) is not None]


def _draw(axis: Any, arms: Sequence[ArmResult], by_bytes: bool, name: str, colour: str, marker: str) -> None:
    """A line through the best arm of each size, every other arm as a point of its own."""
    if not arms:
        return
    best: dict[int, ArmResult] = {}
    for arm in arms:
        best[arm.samples] = max(best.get(arm.samples, arm), arm, key=lambda one: one.mean)
    for joined in (True, False):
        shown = [arm for arm in sorted(arms, key=lambda one: one.samples) if (arm is best[arm.samples]) == joined]
        places = [arm.bytes / 1e6 if by_bytes else arm.samples for arm in shown]
        means, ends = [arm.mean for arm in shown], [mean_interval(arm) for arm in shown]
        bars = [
            [max(0.0, m - low) for m, (low, _) in zip(means, ends, strict=True)],
            [max(0.0, high - m) for m, (_, high) in zip(means, ends, strict=True)],
        ]
        if shown:
            line, label = ("-", name) if joined else ("", None)
            axis.errorbar(
                places, means, yerr=bars, color=colour, marker=marker, linestyle=line, capsize=3, label=label
            )
