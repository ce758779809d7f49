"""How much the students of ``evaluate --algos`` look at what they see.

For each algorithm, dataset and student, on frames of the real dataset: the share of frames on which it prefers
the action that it prefers most often (1: one action always), and the largest deviation over frames of an action's
probability (0: the same policy everywhere).
Run: ``python benchmarks/student_decisions.py results/starpilot-algorithms d3rlpy_data/starpilot-expert.h5``"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from d3rlpy_distill import TransitionArrays
from d3rlpy_distill.evaluation import ALGORITHMS, Results
from d3rlpy_distill.evaluation.algorithm_benchmark import algorithm_arm
from d3rlpy_distill.evaluation.algorithms import load_networks
from d3rlpy_distill.evaluation.store import EvaluationStore
from d3rlpy_distill.learner import build_learner
from d3rlpy_distill.presets import Budget
from procgen_datasets import load_dataset

FRAMES = 400

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("dataset", type=Path)
    arguments = parser.parse_args()
    protocol = Results.load(arguments.results).protocol
    identity = json.loads((arguments.results / "evaluation.json").read_text())
    store = EvaluationStore(arguments.results, identity)
    data = TransitionArrays.from_buffer(load_dataset(arguments.dataset)[0])
    chosen = np.random.default_rng(0).choice(len(data), FRAMES, replace=False)
    frames = torch.from_numpy(data.observations[chosen])
    for name in protocol["algorithms"]:
        if name == "dt":  # plays by a context of its own
            continue
        algorithm = ALGORITHMS[name]
        for dataset in protocol["datasets"]:
            shares, spreads = [], []
            for i in range(protocol["students"]):
                known = store.load_student(algorithm_arm(name, dataset), i)
                assert known is not None
                learner = build_learner(
                    algorithm.config(Budget(**protocol["bc"])), frames.shape[1:], data.action_size, seed=0
                )
                load_networks(learner, known[0])
                policy = torch.softmax(algorithm.policy(learner, data).logits(frames), 1)
                shares.append(np.bincount(policy.argmax(1).numpy()).max() / FRAMES)
                spreads.append(float(policy.std(0).max()))
            print(
                f"{algorithm_arm(name, dataset)}: share {' '.join(f'{share:.2f}' for share in shares)}, "
                f"deviation {' '.join(f'{spread:.3f}' for spread in spreads)}",
                flush=True,
            )
