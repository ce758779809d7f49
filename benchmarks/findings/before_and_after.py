"""What moving the samples gains over the frames that they started from."""

from __future__ import annotations

import numpy as np

from d3rlpy_distill import Budget, Distilled, OfflineDataset

from .paper_students import STUDENTS, train
from .validation_levels import ValidationLevels


def before_and_after(
    dataset: OfflineDataset, distilled: Distilled, levels: ValidationLevels, sharpness: float, budget: Budget
) -> dict[str, float]:
    """Returns the mean change of a pixel, and loss and return of ten students of either set.

    Args:
        dataset: Says what observations and actions are.
        distilled: Of a method that moves samples.
        levels: Where students are measured.
        sharpness: Of the expert's policy that they are measured against.
        budget: How long they train.
    """
    initial, samples = distilled.initial, distilled.samples
    assert initial is not None
    change = np.abs(samples.observations.astype(np.float32) - initial.observations).mean()
    row = {"mean_pixel_change": round(float(change), 3)}
    for label, data in (("initial", initial), ("distilled", samples)):
        score = levels.score([train(dataset, data, seed, budget) for seed in range(STUDENTS)], sharpness)
        row |= {f"{label}_{key}": value for key, value in score.to_json().items()}
    return row
