"""Environment steps per second of ``rld-distill train-expert``, as ratios in one run.

python benchmarks/expert_speed.py [--updates 3] [--device cpu:0]

Each row is a run of :func:`train_expert` itself: rollouts, updates, a checkpoint after each, the curve, and one
evaluation on the validation levels (a real run has one in 500,000 steps, so the rows are on the low side). The
first update is left out (warm-up). The rows of the larger network play 64 steps between updates, not 256: the same
work for each step in less time.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile

import gym_notices.notices
import torch

from d3rlpy_distill.learner import keep_heap
from procgen_datasets.training import TrainExpertConfig, train_expert

RUNS = {
    "impala-s2d, 2 epochs": {"architecture": "impala-s2d", "epochs": 2},
    "impala-s2d, 3 epochs": {"architecture": "impala-s2d", "epochs": 3},
    "impala, 3 epochs": {"architecture": "impala", "epochs": 3, "horizon": 64},
    "impala, 3 epochs, float32 NCHW": {
        "architecture": "impala",
        "epochs": 3,
        "horizon": 64,
        "precision": "float32",
        "channels_last": False,
    },
}


def speed(settings: dict[str, object], game: str, updates: int, device: str) -> float:
    """Returns steps per second after the first update."""
    envs = 256 if device.startswith("cuda") else 64
    config = TrainExpertConfig(game, envs=envs, **settings)  # type: ignore[arg-type]
    config = dataclasses.replace(config, steps=(updates + 1) * config.rollout)
    with tempfile.TemporaryDirectory() as directory:
        curve = train_expert(config, directory, device=device).curve
    return (curve[-1].steps - curve[0].steps) / (curve[-1].seconds - curve[0].seconds)


def main() -> None:
    gym_notices.notices.notices.clear()
    parser = argparse.ArgumentParser()
    parser.add_argument("--game", default="starpilot")
    parser.add_argument("--updates", type=int, default=3)
    parser.add_argument("--device", default="cpu:0")
    arguments = parser.parse_args()
    keep_heap()
    print(f"{arguments.game}, {arguments.device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    speeds = {name: speed(run, arguments.game, arguments.updates, arguments.device) for name, run in RUNS.items()}
    for name, value in speeds.items():
        print(f"{name:32} {value:8,.0f} steps/s")
    plain, fast = speeds["impala, 3 epochs, float32 NCHW"], speeds["impala, 3 epochs"]
    print(f"impala against float32 NCHW: {fast / plain:.2f} times")


if __name__ == "__main__":
    main()
