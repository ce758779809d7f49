"""What students learn from 150 samples that no method has moved: real frames of their own, or a few shared ones.

For each sharpness of the policy's actions, and each share of the best episodes, 10 students of 100 x 15: their
cross-entropy to the sharpened expert on levels 200-299 beside that of a constant policy (those episodes'
marginal) and of the sharpened expert itself, and their return there. The row ``all`` trains with the same budget
on all transitions of those episodes, relabelled.
Run: ``python benchmarks/unmoved_samples.py data/starpilot.h5 [--sharpness 1 2 4] [--percent 100 25 10]``"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
from recorded_dataset import RecordedDataset
from validation_levels import STUDENTS, ValidationLevels, train

from d3rlpy_distill import PAPER_SYNTHETIC, GradientMatchingConfig, TransitionArrays, paper_student
from d3rlpy_distill.relabel import relabel, sharpen
from d3rlpy_distill.selection import best_episodes

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--sharpness", type=float, nargs="+", default=[1.0, 2.0, 4.0])
    parser.add_argument("--starts", nargs="+", choices=["own", "shared", "all"], default=["own", "shared", "all"])
    parser.add_argument("--percent", type=float, nargs="+", default=[100.0], help="of the best episodes")
    parser.add_argument("--shared", type=int, nargs="+", default=[10], help="observations of the start 'shared'")
    arguments = parser.parse_args()
    dataset = RecordedDataset.load(arguments.dataset)
    data, policy = dataset.transitions, dataset.policy
    levels = ValidationLevels(dataset.game)
    for sharpness, percent in itertools.product(arguments.sharpness, arguments.percent):
        kept = np.isin(data.episodes, best_episodes(dataset.buffer, percent))
        marginal = np.log(sharpen(policy[kept], sharpness).mean(0, keepdims=True))
        starts = [(s, k) for s in arguments.starts for k in (arguments.shared if s == "shared" else [None])]
        for start, shared in starts:
            students = []
            for seed in range(STUDENTS):
                if start == "all":
                    samples = relabel(
                        data.whole_episodes(kept), policy[kept], sharpness, np.random.default_rng(seed)
                    )
                else:
                    config = GradientMatchingConfig(
                        learner=paper_student(PAPER_SYNTHETIC),
                        percent=percent,
                        sharpness=sharpness,
                        shared_observations=shared,
                        seed=seed,
                    )
                    unmoved = config.create().fit(dataset.buffer, 0, probabilities=dataset.step_probabilities)
                    samples = TransitionArrays.from_buffer(unmoved)
                students.append(train(samples, 1000 + seed))
            row = {
                "game": dataset.game,
                "sharpness": sharpness,
                "percent": percent,
                "start": start,
                "observations": shared,
                **levels.score(students, sharpness).to_json(),
                "constant_policy_loss": round(levels.frames.cross_entropy(marginal, sharpness), 3),
                "expert_loss": round(levels.frames.entropy(sharpness), 3),
            }
            print(json.dumps(row), flush=True)
