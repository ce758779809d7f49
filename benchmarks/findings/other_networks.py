"""The same samples under other networks: d3rlpy's default pixel encoder and a small IMPALA.

Each student has the paper's budget of 100 x 15 and d3rlpy's default learning rate for cloning, 1e-3. Returns on
seen and unseen levels, sampled actions, and the gain over as many random samples, with its 95% bootstrap interval.
Run: ``python -m benchmarks.findings.other_networks data/starpilot.h5 data/starpilot-150.h5``"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from d3rlpy_distill import PAPER_SMALL, Distilled, OfflineDataset, make_task
from d3rlpy_distill.catalogue import STUDENTS
from d3rlpy_distill.data.training_set import TrainingSet
from d3rlpy_distill.evaluation import difference_interval
from d3rlpy_distill.methods.random import RandomCoreset
from d3rlpy_distill.policies import Policy

NETWORKS = ("nature", "impala-s2d")
LEARNING_RATE = 1e-3


def train(name: str, dataset: OfflineDataset, data: Sequence[TrainingSet]) -> list[Policy]:
    """One student of a network for each set of samples."""
    student = STUDENTS.get(name)()
    config = dataclasses.replace(student.learner(dataset, PAPER_SMALL), learning_rate=LEARNING_RATE)
    learners = [student.fit(config, samples, PAPER_SMALL.n_steps, seed=seed) for seed, samples in enumerate(data)]
    return [student.policy(learner, 0.0) for learner in learners]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("real", type=Path)
    parser.add_argument("synthetic", type=Path)
    parser.add_argument("--students", type=int, default=10)
    parser.add_argument("--episodes", type=int, default=100)
    arguments = parser.parse_args()
    dataset, distilled = OfflineDataset.load(arguments.real), Distilled.load(arguments.synthetic)
    assert dataset.task is not None
    task, coreset = make_task(dataset.task), RandomCoreset(n_samples=len(distilled))
    seeds = range(arguments.students)
    random = [coreset.distill(dataset, np.random.default_rng(seed)).training_set() for seed in seeds]
    for name in NETWORKS:
        arms = {
            "random": train(name, dataset, random),
            "distilled": train(name, dataset, [distilled.training_set() for _ in seeds]),
        }
        for split in task.default_splits:
            returns = {
                arm: task.play(students, split=split, mode="sampled", episodes=arguments.episodes, seed=0)
                for arm, students in arms.items()
            }
            value, low, high = difference_interval(
                returns["distilled"], returns["random"], np.random.default_rng(0)
            )
            row = {
                "task": task.name,
                "network": name,
                "split": split,
                **{arm: round(float(r.mean()), 2) for arm, r in returns.items()},
                "gain": round(value, 2),
                "gain_ci95": [round(low, 2), round(high, 2)],
            }
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
