"""The learning curve of an expert, as ``rld-distill train-expert`` leaves it behind."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DistillError
from .colours import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["TrainingCurve", "find_training", "read_training", "training_figure"]

CURVE = "curve.csv"
RETURNS = {"train_return": "training levels", "validation_return": "validation levels"}
MAX_BYTES = 64 << 20


@dataclasses.dataclass(frozen=True)
class TrainingCurve:
    """How a policy's return grew with training.

    Args:
        name: What was trained.
        returns: Points of steps and mean return, by the levels that were played.
    """

    name: str
    returns: dict[str, list[tuple[float, float]]]


def find_training(results: Sequence[Path], named: Sequence[Path] = ()) -> list[TrainingCurve]:
    """Returns the learning curves that lie in directories of results, and those that are named.

    Raises:
        DistillError: If one is no learning curve.
    """
    beside = [path / CURVE for path in results if (path / CURVE).is_file()]
    return [read_training(path) for path in dict.fromkeys([*beside, *named])]


def read_training(path: Path) -> TrainingCurve:
    """Reads a ``curve.csv``: a column ``steps``, and ``train_return`` and ``validation_return``, where known.

    Raises:
        DistillError: If it is no such file.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        returns = {
            told: [
                (float(row["steps"]), value)
                for row in rows
                if row.get(column) and math.isfinite(value := float(row[column]))
            ]
            for column, told in RETURNS.items()
        }
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        reason = f"{type(error).__name__} {error}"
        raise DistillError(
            f"{path} is no learning curve: expected a {CURVE} of 'rld-distill train-expert' ({reason})."
        ) from error
    known = {told: points for told, points in returns.items() if points}
    if not known:
        raise DistillError(f"{path} has no returns: expected a {CURVE} of 'rld-distill train-expert'.")
    return TrainingCurve(path.absolute().parent.name, known)


def training_figure(curve: TrainingCurve) -> Figure:
    """Draws the mean return against the environment steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axis = figure.subplots()
    for (told, points), colour, line in zip(curve.returns.items(), COLOURS, ("-", "--"), strict=False):
        axis.plot(
            *zip(*points, strict=True), line, color=colour, label=told, marker="o" if len(points) < 40 else ""
        )
    axis.set(xlabel="environment steps", ylabel="mean return")
    axis.set_title(f"{curve.name}: return while it was trained", parse_math=False)
    axis.legend(frameon=False)
    return figure
