"""What students learn from 150 samples that no method has moved: real frames of their own, or a few shared ones.

For each sharpness of the policy's actions, and each share of the best episodes, 10 students of 100 x 15: their
cross-entropy to the sharpened expert on levels 200-299 beside that of a constant policy (those episodes'
marginal) and of the sharpened expert itself, and their return there. The row ``all`` trains with the same budget
on all transitions of those episodes, relabelled.
Run: ``python -m benchmarks.findings.unmoved_samples data/starpilot.h5 [--sharpness 1 2 4] [--percent 100 25 10]``"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np

from d3rlpy_distill import GradientMatchingConfig, OfflineDataset, TransitionArrays
from d3rlpy_distill.data.relabel import relabel, sharpen
from d3rlpy_distill.students.paper import PaperStudent

from .paper_students import STUDENTS, train
from .validation_levels import ValidationLevels

STARTS = ("own", "shared", "all")


def draw(
    dataset: OfflineDataset, start: str, shared: int | None, sharpness: float, percent: float, seed: int
) -> TransitionArrays:
    """Returns what one student is trained on."""
    rng = np.random.default_rng(seed)
    if start == "all":
        assert dataset.policy is not None
        data, rows = dataset.best(percent)
        return relabel(data, dataset.policy[rows], sharpness, rng)
    method = GradientMatchingConfig(
        learner=PaperStudent().learner(dataset),
        steps=0,
        percent=percent,
        sharpness=sharpness,
        shared_observations=shared,
    )
    return method.distill(dataset, rng).samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--sharpness", type=float, nargs="+", default=[1.0, 2.0, 4.0])
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=STARTS)
    parser.add_argument("--percent", type=float, nargs="+", default=[100.0], help="of the best episodes")
    parser.add_argument("--shared", type=int, nargs="+", default=[10], help="observations of the start 'shared'")
    arguments = parser.parse_args()
    dataset = OfflineDataset.load(arguments.dataset)
    assert dataset.policy is not None
    levels = ValidationLevels(dataset.task)
    for sharpness, percent in itertools.product(arguments.sharpness, arguments.percent):
        _, rows = dataset.best(percent)
        marginal = np.log(sharpen(dataset.policy[rows], sharpness).mean(0, keepdims=True))
        starts = [(s, k) for s in arguments.starts for k in (arguments.shared if s == "shared" else [None])]
        for start, shared in starts:
            students = [
                train(dataset, draw(dataset, start, shared, sharpness, percent, seed), 1000 + seed)
                for seed in range(STUDENTS)
            ]
            row = {
                "task": dataset.task,
                "sharpness": sharpness,
                "percent": percent,
                "start": start,
                "observations": shared,
                **levels.score(students, sharpness).to_json(),
                "constant_policy_loss": round(levels.frames.cross_entropy(marginal, sharpness), 3),
                "expert_loss": round(levels.frames.entropy(sharpness), 3),
            }
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
