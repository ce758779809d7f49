"""What three details of behaviour cloning do to a student of the full data, on levels 200-299.

``beta``: d3rlpy's default of 0.5 instead of 0. ``first-rows``: the training tensor has a row for every transition,
but every episode is written from row 0 on, so that only as many rows as the longest episode has are filled and the
rest stay zero, as in the public code of arXiv 2407.20299. ``unscaled``: pixels of 0 to 255, as there, not 0 to 1.
300 steps of 256, three students, 100 episodes each, sampled.
Run: ``python benchmarks/paper_pitfalls.py data/starpilot.h5``"""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

import numpy as np
from validation_levels import ValidationLevels

from d3rlpy_distill import Budget, TransitionArrays, paper_student, train_student
from d3rlpy_distill.evaluation.players import StudentPolicy
from procgen_datasets import load_dataset

BUDGET, STUDENTS = Budget(300, 256), 3


def first_rows(data: TransitionArrays) -> TransitionArrays:
    """Writes every episode from row 0 on, over the one before."""
    observations, actions = np.zeros_like(data.observations), np.zeros_like(data.actions)
    for episode in np.unique(data.episodes):
        rows = data.episodes == episode
        observations[: rows.sum()], actions[: rows.sum()] = data.observations[rows], data.actions[rows]
    return dataclasses.replace(data, observations=observations, actions=actions)


if __name__ == "__main__":
    buffer, info = load_dataset(sys.argv[1])
    assert info.provenance is not None
    data = TransitionArrays.from_buffer(buffer)
    levels = ValidationLevels(info.provenance.game)
    variants: dict[str, tuple[TransitionArrays, dict[str, Any]]] = {
        "as it should be": (data, {}),
        "beta": (data, {"beta": 0.5}),
        "first-rows": (first_rows(data), {}),
        "unscaled": (data, {"observation_scaler": None}),
    }
    for name, (arrays, changes) in variants.items():
        config = dataclasses.replace(paper_student(BUDGET), **changes)
        students = [StudentPolicy(train_student(config, arrays, BUDGET.n_steps, seed=s)) for s in range(STUDENTS)]
        filled = float(arrays.observations.reshape(len(arrays), -1).any(1).mean())
        score = levels.score(students, 1.0).to_json()
        row = {"variant": name, "game": info.provenance.game, "rows_filled": round(filled, 3), **score}
        print(json.dumps(row), flush=True)
