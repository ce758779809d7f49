"""How much the students of a comparison of algorithms look at what they see.

For each arm of ``evaluate --student bc,cql,...`` and each student, on frames of the real dataset: the share of
frames on which it prefers the action that it prefers most often (1: one action always), and the largest deviation
over frames of an action's probability (0: the same policy everywhere).
Run: ``python -m benchmarks.findings.student_decisions results/starpilot-algorithms d3rlpy_data/starpilot-expert@1.h5``
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from d3rlpy_distill import Budget, OfflineDataset, Results
from d3rlpy_distill.catalogue import STUDENTS
from d3rlpy_distill.students.kept import read_weights

from .kept_students import kept_students

FRAMES = 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("dataset", type=Path)
    arguments = parser.parse_args()
    results, dataset = Results.load(arguments.results), OfflineDataset.load(arguments.dataset)
    data = dataset.transitions
    chosen = np.random.default_rng(0).choice(len(data), min(FRAMES, len(data)), replace=False)
    frames = torch.from_numpy(data.observations[chosen])
    kept = kept_students(arguments.results)
    for arm in results.names():
        name = results.about(arm).student
        if name is None or name == "dt":  # which plays by the return that it is asked for, too
            continue
        student = STUDENTS.get(name)()
        config = student.learner(dataset, Budget(**results.protocol["budgets"][name]["full"]))
        shares, spreads = [], []
        for file in kept[arm]:
            weights, _ = read_weights(file)
            learner = student.restore(config, weights, dataset.observation_shape, dataset.action_size)
            policy = torch.softmax(student.policy(learner, 0.0).logits(frames), 1)
            shares.append(np.bincount(policy.argmax(1).numpy()).max() / len(frames))
            spreads.append(float(policy.std(0).max()))
        print(
            f"{arm}: share {' '.join(f'{share:.2f}' for share in shares)}, "
            f"deviation {' '.join(f'{spread:.3f}' for spread in spreads)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
