"""Trains the students of an arm, or takes those that were trained before the evaluation was interrupted."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable

import numpy as np
from d3rlpy.algos import DiscreteBC

from ..convergence import train_to_convergence
from ..learner import build_learner, learner_network
from ..presets import paper_student
from ..training import train_student
from ..transitions import TransitionArrays
from .arms import Arm, BenchmarkConfig
from .store import EvaluationStore

__all__ = ["Progress", "student_seeds", "train_students"]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def student_seeds(config: BenchmarkConfig, arm: str, i: int) -> tuple[int, int]:
    """Returns the seeds of student ``i`` of an arm: of its data, and of its weights and batches."""
    # hashed by name, so that an arm's students do not depend on which other arms there are
    sequence = np.random.SeedSequence((config.seed, zlib.crc32(arm.encode()), i))
    data_seed, student_seed = (int(s) for s in sequence.generate_state(2))
    return data_seed, student_seed


def train_students(
    arm: Arm, config: BenchmarkConfig, store: EvaluationStore, device: str, progress: Progress
) -> tuple[list[DiscreteBC], TransitionArrays, float]:
    """Returns an arm's students, the data of the last one, and the mean seconds that one took to train."""
    students, seconds = [], []
    for i in range(config.students):
        data_seed, student_seed = student_seeds(config, arm.name, i)
        data = arm.data(np.random.default_rng(data_seed))
        known = store.load_student(arm.name, i)
        if known is None:
            start = time.perf_counter()
            student, steps = _train_one(
                arm, config, data, student_seed, device, f"training {arm.name} {i + 1}/{config.students}", progress
            )
            record = {"train_seconds": time.perf_counter() - start, "steps": float(steps)}
            store.save_student(arm.name, i, learner_network(student).state_dict(), record)
        else:
            weights, record = known
            student = build_learner(
                paper_student(arm.budget or config.bc),
                data.observations.shape[1:],
                data.action_size,
                seed=student_seed,
                device=device,
            )
            learner_network(student).load_state_dict(weights)
        students.append(student)
        seconds.append(record["train_seconds"])
    return students, data, float(np.mean(seconds))


def _train_one(
    arm: Arm,
    config: BenchmarkConfig,
    data: TransitionArrays,
    seed: int,
    device: str,
    what: str,
    progress: Progress,
) -> tuple[DiscreteBC, int]:
    learner = paper_student(arm.budget or config.bc)
    if arm.budget is None:
        total = config.convergence.steps
        return train_to_convergence(
            learner,
            data,
            config.convergence,
            seed=seed,
            device=device,
            on_step=lambda step: progress(what, step, total),
        )
    steps = arm.budget.n_steps
    student = train_student(
        learner, data, steps, seed=seed, device=device, on_step=lambda step: progress(what, step, steps)
    )
    return student, steps
