"""Frames per second of one update of an expert: kernels launched one by one, and as one CUDA graph.

The update is the auxiliary phase's gradient step of :class:`PhasicPPO` on random frames; on a CPU there is no graph and
the two are the same.
Run: ``python -m benchmarks.speed.update_speed [--device cuda:0] [--frames 2048]``"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from d3rlpy_distill.learners.captured import Captured
from procgen_datasets import ProcgenVecEnv
from procgen_datasets.games import TRAIN_LEVELS
from procgen_datasets.training import TrainExpertConfig
from procgen_datasets.training.environment import NormalisedRewards, Sb3ProcgenEnv
from procgen_datasets.training.phasic import PhasicPPO
from procgen_datasets.training.run import build_learner


def learner(architecture: str, frames: int, device: str, channels_last: bool) -> PhasicPPO:
    """Returns a learner whose buffers hold random frames."""
    config = TrainExpertConfig(
        "starpilot",
        architecture,
        horizon=max(1, frames // 64),
        phase=1,
        auxiliary_batch=frames,
        minibatches=1,
        channels_last=channels_last,
    )
    env = Sb3ProcgenEnv(ProcgenVecEnv("starpilot", config.envs, levels=TRAIN_LEVELS, rand_seed=0))
    model = build_learner(config, NormalisedRewards(env, norm_obs=False), device)
    model._frames.random_(0, 256)
    model._auxiliary_index.copy_(torch.randperm(len(model._frames)))
    model._targets.normal_()
    model._old.copy_(torch.log_softmax(torch.randn_like(model._old), 1))
    return model


def seconds(function: Callable[[], None], device: torch.device, times: int) -> float:
    """Returns the mean seconds of a call, after three that warm up."""
    for _ in range(3):
        function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in range(times):
        function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu:0")
    parser.add_argument("--frames", type=int, default=2048)
    parser.add_argument("--times", type=int, default=30)
    arguments = parser.parse_args()
    print(f"{arguments.device}, torch {torch.__version__}, {arguments.frames} frames")
    for architecture, channels_last in (("impala-s2d", True), ("impala-s2d", False), ("impoola-s2d", True)):
        model = learner(architecture, arguments.frames, arguments.device, channels_last)
        trained = model._trained(model.policy.optimizer)
        ways: dict[str, Callable[[], None]] = {"one by one": model._minimise_auxiliary}
        if model.device.type == "cuda":
            ways["one graph"] = Captured(model._minimise_auxiliary, model.device, trained)
        for name, way in ways.items():
            took = seconds(way, model.device, arguments.times)
            layout = "channels last" if channels_last else "channels first"
            print(
                f"{architecture}, {layout}, {name}: {1e3 * took:.2f} ms, {arguments.frames / took:,.0f} frames/s"
            )


if __name__ == "__main__":
    main()
