"""How long d3rlpy's own ``fit`` takes: as it is, and with channels-last networks as its students are trained.

Milliseconds a step of 64 transitions with the paper's network, on random frames, and their ratio.
Run: ``OMP_NUM_THREADS=1 python -m benchmarks.speed.stock_fit_speed``"""

from __future__ import annotations

import time

from d3rlpy.logging import NoopAdapterFactory

from d3rlpy_distill import Budget, OfflineDataset
from d3rlpy_distill.catalogue import STUDENTS
from d3rlpy_distill.learners.stock import fit_stock, seeded
from d3rlpy_distill.students.stock import StockStudent

from .random_frames import random_frames

STEPS, BATCH, FRAMES = 20, 64, 1000


def stock(student: StockStudent, dataset: OfflineDataset, steps: int = STEPS) -> float:
    """Seconds of d3rlpy's ``fit``, the creation of its networks included."""
    with seeded(0):
        learner = student.learner(dataset, Budget(steps, BATCH)).create(device="cpu:0")
        start = time.perf_counter()
        learner.fit(
            dataset.buffer,
            steps,
            n_steps_per_epoch=steps,
            logger_adapter=NoopAdapterFactory(),
            show_progress=False,
        )
    return time.perf_counter() - start


def ours(student: StockStudent, dataset: OfflineDataset, steps: int = STEPS) -> float:
    """Seconds of the same by :func:`fit_stock`."""
    config = student.learner(dataset, Budget(steps, BATCH))
    start = time.perf_counter()
    fit_stock(config, dataset.buffer, dataset.observation_shape, steps, seed=0, device="cpu:0")
    return time.perf_counter() - start


def main() -> None:
    dataset = random_frames(FRAMES)
    kinds = {name: STUDENTS.get(name) for name in STUDENTS.names()}
    students = {name: kind() for name, kind in kinds.items() if issubclass(kind, StockStudent)}
    before = {name: stock(one, dataset) for name, one in students.items()}  # all first: the heap's setting stays
    for name, student in students.items():
        after = ours(student, dataset)
        scale = 1000 / STEPS
        print(f"{name}: {before[name] * scale:.0f} ms, {after * scale:.0f} ms, ratio {after / before[name]:.2f}")


if __name__ == "__main__":
    main()
