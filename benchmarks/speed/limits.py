"""How much faster a step could be at most: its time against that of its multiplications at the machine's best rate.

The rate is that of the product of two large matrices, in the precision in which the step computes. Products and
convolutions of a step are counted, and nothing else. A step that takes twice as long as they do at that rate can be
made twice as fast at most by batching or fusing. Algorithms that multiply less, such as Winograd's, are not
considered.

Beside it stands the share of the step that torch's own convolutions and products take: what is around them cannot be
made to take less than nothing.

Run: ``python -m benchmarks.speed.limits``"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from d3rlpy_distill import Budget, OfflineDataset
from d3rlpy_distill.catalogue import STUDENTS
from d3rlpy_distill.learners.learner import autocast, build_learner, keep_heap
from d3rlpy_distill.learners.training import Trainer
from d3rlpy_distill.students.cloning import ImitatorPolicy

from .random_frames import random_frames
from .random_vectors import random_vectors

SIZE, SECONDS, WARM_UP = 2048, 2.0, 5
PROFILED = 20  # calls
PRODUCTS = ("aten::mkldnn_convolution", "aten::convolution_backward", "aten::addmm", "aten::mm")
SAMPLES = 150
PLAYED = 64  # frames of a forward pass, as many as a student's slots
STEPS = (("paper", 15), ("paper", 64), ("impala-s2d", 64), ("impala", 256), ("mlp", 64))


@dataclasses.dataclass(frozen=True)
class Measured:
    """A step.

    Args:
        seconds: It takes.
        flops: Its products and convolutions, a multiplication and an addition counting two.
        share: Of its time in them, 0 to 1.
    """

    seconds: float
    flops: int
    share: float

    def faster(self, rate: float) -> float:
        """Returns how many times as fast it could be at most, at a rate in operations a second."""
        return self.seconds * rate / self.flops


def best_rate() -> float:
    """Operations a second of a large product, in bfloat16 where students compute in it."""
    with autocast("cpu"):
        dtype = torch.mm(torch.ones(1, 1), torch.ones(1, 1)).dtype
    left, right = torch.randn(SIZE, SIZE).to(dtype), torch.randn(SIZE, SIZE).to(dtype)
    return 2 * SIZE**3 / seconds(lambda: torch.mm(left, right))


def seconds(function: Callable[[], object]) -> float:
    """Median seconds of a call, over a few seconds."""
    for _ in range(WARM_UP):
        function()
    times: list[float] = []
    while sum(times) < SECONDS:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def measured(function: Callable[[], object]) -> Measured:
    """Counts and times a step."""
    with FlopCounterMode(display=False) as counter:
        function()
    return Measured(seconds(function), counter.get_total_flops(), share_of_products(function))


def share_of_products(function: Callable[[], object]) -> float:
    """The share of a call's time on the processor in convolutions and products, 0 to 1."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(PROFILED):
            function()
    times = {event.key: event.self_cpu_time_total for event in profiled.key_averages()}
    return sum(time for name, time in times.items() if name in PRODUCTS) / sum(times.values())


def training(name: str, batch_size: int, dataset: OfflineDataset) -> Measured:
    """A student's step."""
    config = STUDENTS.get(name)().learner(dataset, Budget(1, batch_size))
    learner = build_learner(config, dataset.observation_shape, dataset.action_size, seed=0)
    return measured(Trainer(learner, dataset.transitions, np.random.default_rng(0)).step)


def playing(name: str, dataset: OfflineDataset) -> Measured:
    """A student's forward pass, on frames as the environments give them."""
    config = STUDENTS.get(name)().learner(dataset)
    policy = ImitatorPolicy(build_learner(config, dataset.observation_shape, dataset.action_size, seed=0))
    frames = torch.from_numpy(dataset.transitions.observations[:PLAYED])
    return measured(lambda: policy.logits(frames))


def main() -> None:
    keep_heap()
    rate, frames, vectors = best_rate(), random_frames(SAMPLES), random_vectors(SAMPLES)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {rate / 1e9:.0f} GFLOP/s")
    for name, batch_size in STEPS:
        step = training(name, batch_size, vectors if name == "mlp" else frames)
        print(f"{name}, a training step of {batch_size}: {1000 * step.seconds:.2f} ms, ", end="")
        print(f"{step.flops / 1e9:.2f} GFLOP, at most {step.faster(rate):.1f} times as fast; ", end="")
        print(f"{step.share:.0%} of it in products", flush=True)
    for name in ("paper", "impala-s2d", "impala"):
        step = playing(name, frames)
        print(f"{name}, a forward pass of {PLAYED}: {PLAYED / step.seconds:,.0f} frames/s, ", end="")
        print(f"{step.flops / 1e9:.2f} GFLOP, at most {PLAYED * rate / step.flops:,.0f} frames/s; ", end="")
        print(f"{step.share:.0%} of it in products", flush=True)


if __name__ == "__main__":
    main()
