"""Seconds of a BC student of 1000 steps x 256 against stock d3rlpy ``fit`` with the same encoder and data.

Both are timed in turns over a part of the steps, after a warm-up; every step costs the same.
Run: ``python benchmarks/student_speed.py data/starpilot.h5``"""

from __future__ import annotations

import json
import sys
import time

import gym_notices.notices
import numpy as np
import structlog

gym_notices.notices.notices.clear()
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))

from d3rlpy.logging import NoopAdapterFactory  # noqa: E402

from d3rlpy_distill import PAPER_BC, TransitionArrays, paper_student  # noqa: E402
from d3rlpy_distill.learner import build_learner  # noqa: E402
from d3rlpy_distill.training import Trainer  # noqa: E402
from procgen_datasets import load_dataset  # noqa: E402

ROUNDS, STEPS = 3, 20

if __name__ == "__main__":
    buffer, _ = load_dataset(sys.argv[1])
    data = TransitionArrays.from_buffer(buffer)
    stock = paper_student(PAPER_BC).create()
    quiet = {"logger_adapter": NoopAdapterFactory(), "show_progress": False}
    stock.fit(buffer, n_steps=3, n_steps_per_epoch=3, **quiet)
    fast = Trainer(build_learner(paper_student(PAPER_BC), (3, 64, 64), 15, seed=0), data, np.random.default_rng(0))
    for _ in range(3):
        fast.step()
    seconds: dict[str, list[float]] = {"stock": [], "fast": []}
    for _ in range(ROUNDS):
        start = time.perf_counter()
        stock.fit(buffer, n_steps=STEPS, n_steps_per_epoch=STEPS, **quiet)
        seconds["stock"].append((time.perf_counter() - start) / STEPS)
        start = time.perf_counter()
        for _ in range(STEPS):
            fast.step()
        seconds["fast"].append((time.perf_counter() - start) / STEPS)
    per_step = {name: float(np.median(values)) for name, values in seconds.items()}
    result = {f"{name}_seconds_1000_steps": round(1000 * value, 1) for name, value in per_step.items()}
    print(json.dumps({**result, "fast_over_stock": round(per_step["fast"] / per_step["stock"], 3)}))
