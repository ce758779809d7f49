"""What students learn from 150 samples that no method has moved: real frames of their own, or ten shared ones.

For each sharpness of the policy's actions, 10 students of 100 x 15: their cross-entropy to the sharpened policy on
levels 200-299 beside that of a constant policy (the marginal) and of the sharpened policy itself, and their return
there, 100 episodes each, sampled. The row ``all`` trains with the same budget on the whole relabelled dataset. The
validation levels are the only ones on which a setting may be chosen.
Run: ``python benchmarks/unmoved_samples.py data/starpilot.h5 [--sharpness 1 2 4]``"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import gym_notices.notices
import numpy as np
import structlog
import torch

gym_notices.notices.notices.clear()
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))

from d3rlpy_distill import (  # noqa: E402
    PAPER_SYNTHETIC,
    GradientMatchingConfig,
    TransitionArrays,
    paper_student,
    train_student,
)
from d3rlpy_distill.evaluation.players import StudentPolicy  # noqa: E402
from d3rlpy_distill.relabel import relabel, sharpen, transition_probabilities  # noqa: E402
from procgen_datasets import VALIDATION_LEVELS, CollectConfig, collect, load_dataset  # noqa: E402
from procgen_datasets.hdf5 import read_extras  # noqa: E402
from procgen_datasets.player import ProcgenPlayer  # noqa: E402

STUDENTS, EPISODES, FRAMES, SHARED = 10, 100, 2000, 10


def validation(game: str) -> tuple[np.ndarray, np.ndarray]:
    """Frames of the expert on the validation levels, and its probabilities there."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "validation.h5"
        collect(CollectConfig(game, episodes=40, levels=VALIDATION_LEVELS), path)
        buffer = load_dataset(path)[0]
        data = TransitionArrays.from_buffer(buffer)
        rows = transition_probabilities(buffer, data, read_extras(path, "steps")["action_probabilities"])
    chosen = np.sort(np.random.default_rng(0).choice(len(data), FRAMES, replace=False))
    return data.observations[chosen], rows[chosen]


def cross_entropy(targets: np.ndarray, log_probabilities: np.ndarray) -> float:
    return float(-(targets * log_probabilities).sum(1).mean())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--sharpness", type=float, nargs="+", default=[1.0, 2.0, 4.0])
    arguments = parser.parse_args()
    buffer, info = load_dataset(arguments.dataset)
    assert info.provenance is not None
    data = TransitionArrays.from_buffer(buffer)
    recorded = read_extras(arguments.dataset, "steps")["action_probabilities"]
    policy = transition_probabilities(buffer, data, recorded)
    frames, watched = validation(info.provenance.game)
    player = ProcgenPlayer(info.provenance.game, {"validation": VALIDATION_LEVELS}, EPISODES, seed=1)
    config, steps = paper_student(PAPER_SYNTHETIC), PAPER_SYNTHETIC.n_steps
    for sharpness in arguments.sharpness:
        targets = sharpen(watched, sharpness)
        marginal = np.log(sharpen(policy, sharpness).mean(0, keepdims=True))
        for start, shared in (("own", None), ("shared", SHARED), ("all", None)):
            students = []
            for seed in range(STUDENTS):
                if start == "all":
                    small = relabel(data, policy, sharpness, np.random.default_rng(seed))
                else:
                    matching = GradientMatchingConfig(
                        learner=config, sharpness=sharpness, shared_observations=shared, seed=seed
                    )
                    samples = matching.create().fit(buffer, 0, probabilities=recorded)
                    small = TransitionArrays.from_buffer(samples)
                students.append(StudentPolicy(train_student(config, small, steps, seed=1000 + seed)))
            losses = [
                cross_entropy(targets, torch.log_softmax(s.logits(torch.from_numpy(frames)), 1).numpy())
                for s in students
            ]
            returns = player.play(students, split="validation", mode="sampled").mean(1)
            row = {
                "game": info.provenance.game,
                "sharpness": sharpness,
                "start": start,
                "loss": round(float(np.mean(losses)), 3),
                "loss_std": round(float(np.std(losses)), 3),
                "constant_policy": round(cross_entropy(targets, marginal), 3),
                "policy_itself": round(cross_entropy(targets, np.log(np.maximum(targets, 1e-12))), 3),
                "return": round(float(returns.mean()), 2),
                "return_std": round(float(returns.std()), 2),
            }
            print(json.dumps(row), flush=True)
