"""How long d3rlpy's own ``fit`` takes: as it is, and as its students are trained here.

Milliseconds a step, and their ratio: of 64 random frames with the paper's network, which here is channels-last, and of
256 random vectors, whose batches are drawn here by indexing. Then milliseconds to fit the scalers to those vectors.
Run: ``OMP_NUM_THREADS=1 python -m benchmarks.speed.stock_fit_speed``"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping

import numpy as np
from d3rlpy.algos import BCConfig
from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.preprocessing import MinMaxActionScaler, StandardObservationScaler

from d3rlpy_distill import Budget, OfflineDataset
from d3rlpy_distill.catalogue import STUDENTS
from d3rlpy_distill.errors import UnsuitableDatasetError
from d3rlpy_distill.learners.scalers import fit_scalers
from d3rlpy_distill.learners.stock import fit_stock, seeded
from d3rlpy_distill.students.stock import StockStudent

from .random_frames import random_frames

STEPS, BATCH, FRAMES = 20, 64, 1000
VECTOR_BATCH, EPISODES, LENGTH = 256, 100, 500


def stock(student: StockStudent, dataset: OfflineDataset, batch: int, steps: int = STEPS) -> float:
    """Seconds of d3rlpy's ``fit``, the creation of its networks included."""
    with seeded(0):
        learner = student.learner(dataset, Budget(steps, batch)).create(device="cpu:0")
        start = time.perf_counter()
        learner.fit(
            dataset.buffer,
            steps,
            n_steps_per_epoch=steps,
            logger_adapter=NoopAdapterFactory(),
            show_progress=False,
        )
    return time.perf_counter() - start


def ours(student: StockStudent, dataset: OfflineDataset, batch: int, steps: int = STEPS) -> float:
    """Seconds of the same by :func:`fit_stock`."""
    config = student.learner(dataset, Budget(steps, batch))
    start = time.perf_counter()
    fit_stock(config, dataset.buffer, dataset.observation_shape, steps, seed=0, device="cpu:0")
    return time.perf_counter() - start


def continuous_episodes() -> OfflineDataset:
    """50,000 transitions of 11 features and 3 continuous actions."""
    rng = np.random.default_rng(0)
    episodes = [
        Episode(
            rng.normal(size=(LENGTH, 11)).astype(np.float32),
            rng.uniform(-1, 1, (LENGTH, 3)).astype(np.float32),
            rng.normal(size=(LENGTH, 1)).astype(np.float32),
            terminated=True,
        )
        for _ in range(EPISODES)
    ]
    return OfflineDataset(ReplayBuffer(InfiniteBuffer(), episodes=episodes))


def compare(dataset: OfflineDataset, students: Mapping[str, StockStudent], batch: int) -> None:
    """Prints a line for each student."""
    before = {
        name: stock(one, dataset, batch) for name, one in students.items()
    }  # first: the heap's setting stays
    for name, student in students.items():
        after = ours(student, dataset, batch)
        scale = 1000 / STEPS
        print(f"{name}: {before[name] * scale:.0f} ms, {after * scale:.0f} ms, ratio {after / before[name]:.2f}")


def scalers(dataset: OfflineDataset) -> tuple[float, float]:
    """Seconds to fit a standard and a min-max scaler: by d3rlpy, and here."""
    buffer, start = dataset.buffer, time.perf_counter()
    for scaler in (StandardObservationScaler(), MinMaxActionScaler()):
        scaler.fit_with_transition_picker(buffer.episodes, buffer.transition_picker)
    middle = time.perf_counter()
    config = BCConfig(observation_scaler=StandardObservationScaler(), action_scaler=MinMaxActionScaler())
    fit_scalers(config, buffer)
    return middle - start, time.perf_counter() - middle


def suited(dataset: OfflineDataset) -> dict[str, StockStudent]:
    """The students that d3rlpy's ``fit`` trains on such data."""
    found = {}
    for name in STUDENTS.names():
        kind = STUDENTS.get(name)
        if issubclass(kind, StockStudent):
            with contextlib.suppress(UnsuitableDatasetError):
                kind().learner(dataset, Budget(1, 1))
                found[name] = kind()
    return found


def main() -> None:
    for title, dataset, batch in (
        ("frames", random_frames(FRAMES), BATCH),
        ("vectors", continuous_episodes(), VECTOR_BATCH),
    ):
        print(f"{title}, {batch} a step")
        compare(dataset, suited(dataset), batch)
    theirs, own = scalers(continuous_episodes())
    print(f"scalers: {theirs * 1000:.0f} ms, {own * 1000:.0f} ms, ratio {own / theirs:.3f}")


if __name__ == "__main__":
    main()
