"""Environment steps per second of ``rld-distill train-expert``, as ratios in one run.

Each row is a run of :func:`train_expert` itself: rollouts, updates, a checkpoint after each, the curve, and one
evaluation on the validation levels (a real run has one in 500,000 steps, so the rows are on the low side). The
first update is left out (warm-up). The rows of the larger network play 64 steps between updates, not 256: the same
work for each step in less time.
Run: ``python -m benchmarks.speed.expert_speed [--updates 3] [--device cpu:0]``"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Mapping
from typing import Any

import torch

from d3rlpy_distill.learners.learner import keep_heap
from procgen_datasets import GAMES
from procgen_datasets.training import TrainExpertConfig, train_expert

RUNS: Mapping[str, Mapping[str, Any]] = {
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


def speed(config: TrainExpertConfig, updates: int, device: str) -> float:
    """Returns steps per second after the first update."""
    config = dataclasses.replace(config, steps=(updates + 1) * config.rollout)
    with tempfile.TemporaryDirectory() as directory:
        curve = train_expert(config, directory, device=device).curve
    return (curve[-1].steps - curve[0].steps) / (curve[-1].seconds - curve[0].seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--game", choices=GAMES, default="starpilot")
    parser.add_argument("--updates", type=int, default=3)
    parser.add_argument("--device", default="cpu:0")
    arguments = parser.parse_args()
    game, device = arguments.game, arguments.device
    keep_heap()
    print(f"{game}, {device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    envs = 256 if device.startswith("cuda") else 64
    speeds = {
        name: speed(TrainExpertConfig(game, envs=envs, **settings), arguments.updates, device)
        for name, settings in RUNS.items()
    }
    for name, value in speeds.items():
        print(f"{name:32} {value:8,.0f} steps/s")
    plain, fast = speeds["impala, 3 epochs, float32 NCHW"], speeds["impala, 3 epochs"]
    print(f"impala against float32 NCHW: {fast / plain:.2f} times")


if __name__ == "__main__":
    main()
