"""Seconds of a BC student of 1000 steps x 256 against stock d3rlpy ``fit`` with the same encoder and data.

Both are timed in turns over a part of the steps, after a warm-up; every step costs the same.
Run: ``python -m benchmarks.speed.student_speed data/starpilot.h5``"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from d3rlpy.logging import NoopAdapterFactory

from d3rlpy_distill import PAPER_FULL, Budget, OfflineDataset
from d3rlpy_distill.learners.learner import build_learner
from d3rlpy_distill.learners.training import Trainer
from d3rlpy_distill.students.paper import PaperStudent

ROUNDS, STEPS = 3, 20


def seconds_a_step(dataset: OfflineDataset, budget: Budget, rounds: int, steps: int) -> dict[str, float]:
    """Returns the median over rounds, of ``"stock"`` and of ``"fast"``."""
    config, data = PaperStudent().learner(dataset, budget), dataset.transitions
    stock = config.create()
    quiet = {"logger_adapter": NoopAdapterFactory(), "show_progress": False}
    stock.fit(dataset.buffer, n_steps=3, n_steps_per_epoch=3, **quiet)
    learner = build_learner(config, dataset.observation_shape, dataset.action_size, seed=0)
    fast = Trainer(learner, data, np.random.default_rng(0))
    for _ in range(3):
        fast.step()
    seconds: dict[str, list[float]] = {"stock": [], "fast": []}
    for _ in range(rounds):
        start = time.perf_counter()
        stock.fit(dataset.buffer, n_steps=steps, n_steps_per_epoch=steps, **quiet)
        seconds["stock"].append((time.perf_counter() - start) / steps)
        start = time.perf_counter()
        for _ in range(steps):
            fast.step()
        seconds["fast"].append((time.perf_counter() - start) / steps)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    dataset = OfflineDataset.load(parser.parse_args().dataset)
    a_step = seconds_a_step(dataset, PAPER_FULL, ROUNDS, STEPS)
    result = {f"{name}_seconds_1000_steps": round(1000 * value, 1) for name, value in a_step.items()}
    print(json.dumps({**result, "fast_over_stock": round(a_step["fast"] / a_step["stock"], 3)}))


if __name__ == "__main__":
    main()
