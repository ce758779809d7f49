"""How long d3rlpy's own ``fit`` takes: as it is, and with channels-last networks as in ``evaluate --algos``.

Milliseconds a step of 64 transitions with the paper's network, on random frames, and their ratio.
Run: ``OMP_NUM_THREADS=1 python benchmarks/stock_fit_speed.py``"""

from __future__ import annotations

import time

import numpy as np
import structlog
from d3rlpy.dataset import ReplayBuffer
from d3rlpy.logging import NoopAdapterFactory

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))

from d3rlpy_distill import Budget  # noqa: E402
from d3rlpy_distill.evaluation import ALGORITHMS  # noqa: E402
from d3rlpy_distill.evaluation.algorithms import fit_stock, seeded  # noqa: E402
from d3rlpy_distill.transitions import one_step_buffer  # noqa: E402

STEPS, BATCH, FRAMES, SHAPE = 20, 64, 1000, (3, 64, 64)


def stock(name: str, buffer: ReplayBuffer) -> float:
    with seeded(0):
        learner = ALGORITHMS[name].config(Budget(STEPS, BATCH)).create(device="cpu:0")
        start = time.perf_counter()
        learner.fit(
            buffer, STEPS, n_steps_per_epoch=STEPS, logger_adapter=NoopAdapterFactory(), show_progress=False
        )
    return time.perf_counter() - start


def ours(name: str, buffer: ReplayBuffer) -> float:
    config = ALGORITHMS[name].config(Budget(STEPS, BATCH))
    start = time.perf_counter()
    fit_stock(config, buffer, SHAPE, STEPS, seed=0, device="cpu:0", on_step=lambda step: None)
    return time.perf_counter() - start


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (FRAMES, *SHAPE), dtype=np.uint8)
    buffer = one_step_buffer(frames, rng.integers(15, size=FRAMES), rng.normal(size=FRAMES), 15)
    before = {name: stock(name, buffer) for name in ALGORITHMS}  # all of them first: the heap's setting stays
    for name in ALGORITHMS:
        after = ours(name, buffer)
        scale = 1000 / STEPS
        print(f"{name}: {before[name] * scale:.0f} ms, {after * scale:.0f} ms, ratio {after / before[name]:.2f}")
