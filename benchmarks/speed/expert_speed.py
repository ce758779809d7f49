"""Environment steps per second of ``rld-distill train-expert``, and where the time goes, as ratios in one run.

Each row is a run of :func:`train_expert` itself: rollouts, updates, checkpoints, the curve, and one evaluation on the
validation levels (a real run has one in 500,000 steps, so the rows are on the low side). The first phase, of PPO the
first update, is left out (warm-up). Phases are of two rollouts, not eight, and 64 steps are played between updates, not
256: the same work for each step in less time.
``--cpu`` counts seconds of the processor instead of the clock's: for a machine that does other work as well.
Run: ``python -m benchmarks.speed.expert_speed [--updates 3] [--device cpu:0] [--cpu] [--parts]``"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import inspect
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest import mock

import torch
from stable_baselines3.common.buffers import RolloutBuffer

from d3rlpy_distill.learners.learner import keep_heap
from procgen_datasets import GAMES
from procgen_datasets.player import ProcgenPlayer
from procgen_datasets.training import CurvePoint, TrainExpertConfig, run, train_expert
from procgen_datasets.training.environment import Sb3ProcgenEnv
from procgen_datasets.training.policy import ImpalaPolicy

RUNS: Mapping[str, Mapping[str, Any]] = {
    "PPG, impoola-s2d": {"architecture": "impoola-s2d", "epochs": 1, "phase": 2},
    "PPO, impoola-s2d, 2 epochs": {"architecture": "impoola-s2d", "epochs": 2},
    "PPO, impala-s2d, 2 epochs": {"architecture": "impala-s2d", "epochs": 2},
    "PPO, impala-s2d, 3 epochs": {"architecture": "impala-s2d", "epochs": 3},
    "PPO, impala, 3 epochs": {"architecture": "impala", "epochs": 3},
    "PPO, impala, 3 epochs, float32 NCHW": {
        "architecture": "impala",
        "epochs": 3,
        "precision": "float32",
        "channels_last": False,
    },
}

HORIZON = 64

Clock = Callable[[], float]


def speed(config: TrainExpertConfig, updates: int, device: str, clock: Clock) -> float:
    """Returns steps per second after the first phase or update, over as many ``updates`` and to whole phases."""
    steps = config.phase_steps + updates * config.rollout
    config = dataclasses.replace(config, steps=steps, evaluate_every=10**9)
    times: list[tuple[int, float]] = []

    def tell(point: CurvePoint) -> None:
        if point.steps >= config.phase_steps:
            times.append((point.steps, clock()))

    with tempfile.TemporaryDirectory() as directory:
        train_expert(config, directory, device=device, on_update=tell)
    (first, start), (last, end) = times[0], times[-1]
    return (last - first) / (end - start)


class Parts:
    """Seconds by part of the work; a part that another calls counts for itself alone."""

    def __init__(self, clock: Clock) -> None:
        self.seconds: dict[str, float] = {}
        self._clock = clock
        self._inner = [0.0]

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Counts a block."""
        start = self._clock()
        self._inner.append(0.0)
        try:
            yield
        finally:
            took = self._clock() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + took - self._inner.pop()
            self._inner[-1] += took

    def wrap(self, function: Callable[..., Any], name: str | Callable[[], str]) -> Callable[..., Any]:
        """Returns the function, counted."""

        @functools.wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            with self.part(name if isinstance(name, str) else name()):
                return function(*args, **kwargs)

        return counted


def network_part() -> str:
    """Names a forward pass by whether a backward one follows."""
    return "forward, in training" if torch.is_grad_enabled() else "forward, in rollouts and before a phase"


PLACES: tuple[tuple[Any, str, str | Callable[[], str]], ...] = (
    (Sb3ProcgenEnv, "step_wait", "environment"),
    (ImpalaPolicy, "policy_and_value", network_part),
    (torch.Tensor, "backward", "backward"),
    (torch.optim.Adam, "step", "optimizer"),
    (torch.nn.utils, "clip_grad_norm_", "optimizer"),
    (RolloutBuffer, "reset", "copies"),
    (RolloutBuffer, "add", "copies"),
    (ProcgenPlayer, "play", "validation"),
    (run, "save_checkpoint", "checkpoints"),
)


def parts(config: TrainExpertConfig, updates: int, device: str, clock: Clock) -> Mapping[str, float]:
    """Returns the share of each part in a run, warm-up and all."""
    counter = Parts(clock)
    config = dataclasses.replace(config, steps=updates * config.rollout, evaluate_every=10**9)
    with contextlib.ExitStack() as stack:
        for owner, name, part in PLACES:
            counted: Any = counter.wrap(getattr(owner, name), part)
            if isinstance(inspect.getattr_static(owner, name), staticmethod):
                counted = staticmethod(counted)
            stack.enter_context(mock.patch.object(owner, name, counted))
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        with counter.part("the rest"):
            train_expert(config, directory, device=device)
    total = sum(counter.seconds.values())
    return {name: seconds / total for name, seconds in sorted(counter.seconds.items(), key=lambda x: -x[1])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--game", choices=GAMES, default="starpilot")
    parser.add_argument("--updates", type=int, default=3)
    parser.add_argument("--device", default="cpu:0")
    parser.add_argument(
        "--cpu", action="store_true", help="Count the processor's seconds, of all threads together."
    )
    parser.add_argument("--parts", action="store_true", help="Say where the time of each run goes instead.")
    parser.add_argument("--only", choices=RUNS, action="append", help="Rows to run; all of them by default.")
    arguments = parser.parse_args()
    game, device = arguments.game, arguments.device
    clock = time.process_time if arguments.cpu else time.perf_counter
    keep_heap()
    print(f"{game}, {device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    envs = 256 if device.startswith("cuda") else 64
    for name in arguments.only or RUNS:
        config = TrainExpertConfig(game, envs=envs, horizon=HORIZON, **RUNS[name])
        if arguments.parts:
            print(name)
            for part, share in parts(config, arguments.updates, device, clock).items():
                print(f"  {part:40} {share:6.1%}")
        else:
            print(f"{name:40} {speed(config, arguments.updates, device, clock):8,.0f} steps/s", flush=True)


if __name__ == "__main__":
    main()
