"""What three details of behaviour cloning do to a student of the full data, on levels 200-299.

``beta``: d3rlpy's default of 0.5 instead of 0. ``first-rows``: the training tensor has a row for every transition,
but every episode is written from row 0 on, so that only as many rows as the longest episode has are filled and the
rest stay zero, as in the public code of arXiv 2407.20299. ``unscaled``: pixels of 0 to 255, as there, not 0 to 1.
300 steps of 256, three students, 100 episodes each, sampled.
Run: ``python -m benchmarks.findings.paper_pitfalls data/starpilot.h5``"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from d3rlpy_distill import Budget, OfflineDataset, TransitionArrays
from d3rlpy_distill.data.training_set import TrainingSet
from d3rlpy_distill.policies import DiscretePolicy
from d3rlpy_distill.students.paper import PaperStudent

from .validation_levels import ValidationLevels

BUDGET, STUDENTS = Budget(300, 256), 3


def first_rows(data: TransitionArrays) -> TransitionArrays:
    """Writes every episode from row 0 on, over the one before."""
    observations, actions = np.zeros_like(data.observations), np.zeros_like(data.actions)
    for episode in np.unique(data.episodes):
        rows = data.episodes == episode
        observations[: rows.sum()], actions[: rows.sum()] = data.observations[rows], data.actions[rows]
    return dataclasses.replace(data, observations=observations, actions=actions)


def train(
    dataset: OfflineDataset, data: TransitionArrays, changes: dict[str, Any], budget: Budget
) -> list[DiscretePolicy]:
    """Students whose configuration differs in some fields."""
    student = PaperStudent()
    config = dataclasses.replace(student.learner(dataset, budget), **changes)
    learners = [student.fit(config, TrainingSet(data), budget.n_steps, seed=seed) for seed in range(STUDENTS)]
    return [student.policy(learner, 0.0) for learner in learners]


def compare(dataset: OfflineDataset, levels: ValidationLevels, budget: Budget) -> None:
    """Prints a row for each detail."""
    data = dataset.transitions
    variants: dict[str, tuple[TransitionArrays, dict[str, Any]]] = {
        "as it should be": (data, {}),
        "beta": (data, {"beta": 0.5}),
        "first-rows": (first_rows(data), {}),
        "unscaled": (data, {"observation_scaler": None}),
    }
    for name, (arrays, changes) in variants.items():
        score = levels.score(train(dataset, arrays, changes, budget), 1.0).to_json()
        filled = float(arrays.observations.reshape(len(arrays), -1).any(1).mean())
        row = {"variant": name, "task": dataset.task, "rows_filled": round(filled, 3), **score}
        print(json.dumps(row), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    dataset = OfflineDataset.load(parser.parse_args().dataset)
    compare(dataset, ValidationLevels(dataset.task), BUDGET)


if __name__ == "__main__":
    main()
