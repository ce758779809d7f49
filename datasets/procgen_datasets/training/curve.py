"""The learning curve: one row for each update, as a CSV."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from d3rlpy_distill.files import appears_atomically

__all__ = ["CurvePoint", "snapshot_path", "write_curve"]


@dataclasses.dataclass(frozen=True)
class CurvePoint:
    """The state of a run after an update.

    Args:
        steps: Environment steps so far.
        seconds: Seconds of training so far, evaluations and checkpoints included, pauses not.
        train_return: Mean return of the last 100 training episodes; None before the first ends.
        validation_return: Mean return on the validation levels, actions sampled; None where not evaluated.
        policy_loss: Clipped surrogate objective, mean over the update.
        value_loss: Squared error of the value, in normalised rewards.
        entropy: Of the policy, in nats.
        approx_kl: Kullback-Leibler divergence between the policy before and after, last epoch.
        clip_fraction: Share of ratios that were clipped.
        explained_variance: Of the returns, by the values.
    """

    steps: int
    seconds: float
    train_return: float | None
    validation_return: float | None
    policy_loss: float
    value_loss: float
    entropy: float
    approx_kl: float
    clip_fraction: float
    explained_variance: float


def snapshot_path(directory: Path, steps: int) -> Path:
    """Returns where the weights after ``steps`` environment steps are kept, if they were evaluated then."""
    return directory / "snapshots" / f"{steps:09d}.safetensors"


def write_curve(path: Path, points: Sequence[CurvePoint]) -> None:
    """Writes all points; a missing value is an empty cell."""
    names = [field.name for field in dataclasses.fields(CurvePoint)]
    with appears_atomically(path, overwrite=True) as partial, partial.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(names)
        for point in points:
            values = [getattr(point, name) for name in names]
            rows.writerow(["" if v is None else f"{v:.6g}" if isinstance(v, float) else v for v in values])
