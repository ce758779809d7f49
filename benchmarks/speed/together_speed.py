"""Ten students of a small set of vectors, trained as one batched model, against one after the other.

Run: ``python -m benchmarks.speed.together_speed``"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import numpy as np
import torch

from d3rlpy_distill import Budget
from d3rlpy_distill.catalogue import STUDENTS
from d3rlpy_distill.learners.together import train_together
from d3rlpy_distill.learners.training import train_learner

from .random_vectors import random_vectors

STUDENTS_AT_ONCE, SAMPLES, STEPS, ROUNDS = 10, 150, 200, 3
BATCHES = (10, 64)


def seconds_a_step(batch_size: int) -> dict[str, float]:
    """Returns the median over rounds of a step of all ten, ``"alone"`` and ``"together"``, without building them."""
    dataset = random_vectors(SAMPLES)
    config = STUDENTS.get("mlp")().learner(dataset, Budget(STEPS, batch_size))
    data, seeds = dataset.transitions, range(STUDENTS_AT_ONCE)
    ways = {
        "alone": lambda steps: [train_learner(config, data, steps, seed=seed) for seed in seeds],
        "together": lambda steps: train_together(config, [data] * STUDENTS_AT_ONCE, steps, seeds=seeds),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way(10)
    for _ in range(ROUNDS):
        for name, way in ways.items():
            found[name].append((seconds(way, STEPS) - seconds(way, 0)) / STEPS)
    return {name: float(np.median(values)) for name, values in found.items()}


def seconds(way: Callable[[int], object], steps: int) -> float:
    start = time.perf_counter()
    way(steps)
    return time.perf_counter() - start


def main() -> None:
    for batch_size in BATCHES:
        a_step = seconds_a_step(batch_size)
        result = {
            "students": STUDENTS_AT_ONCE,
            "batch_size": batch_size,
            "threads": torch.get_num_threads(),
            **{f"{name}_ms_a_step": round(1000 * value, 2) for name, value in a_step.items()},
            "throughput_ratio": round(a_step["alone"] / a_step["together"], 2),
        }
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
