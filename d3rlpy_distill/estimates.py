"""About how long things take, from a few timed steps: what a dry run says."""

from __future__ import annotations

import contextlib
import time

import numpy as np
import torch

from .data import OfflineDataset
from .data.training_set import TrainingSet
from .errors import SettingsError
from .learners.convergence import ConvergenceConfig
from .methods.base import Method, Run
from .pipeline import Evaluation
from .policies import DiscretePolicy, Policy
from .students.base import Student
from .tasks.base import CollectSettings, Task

__all__ = ["collection_seconds", "distillation_seconds", "evaluation_seconds"]

COLLECT_STEPS = 300  # of an episode: experts' last 50 to 600 steps, depending on the task
EVALUATE_STEPS = 200  # likewise, of students
TIMED = 3
BATCH = 64


class _Timed(Exception):
    """Enough steps were taken."""


def distillation_seconds(
    method: Method, dataset: OfflineDataset, *, seed: int = 0, device: str = "cpu:0"
) -> float:
    """Returns about how long a distillation takes, from its first steps; 0 for a method that takes none.

    Args:
        method: The method as it is configured.
        dataset: What is to be distilled.
        seed: As the distillation's.
        device: torch device.
    """
    if method.total_steps == 0:
        return 0.0
    ticks = [time.perf_counter()]

    def tick(step: int, total: int, loss: float) -> None:
        ticks.append(time.perf_counter())
        if step == TIMED:
            raise _Timed

    with contextlib.suppress(_Timed):  # what follows the last step may take long
        method.distill(dataset, np.random.default_rng(seed), Run(device, on_step=tick))
    if len(ticks) > 2:
        ticks = ticks[1:]  # the first step is slow
    return (ticks[-1] - ticks[0]) / (len(ticks) - 1) * method.total_steps


def collection_seconds(
    task: Task, settings: CollectSettings, *, device: str = "cpu:0", trust: bool = False
) -> tuple[float, int]:
    """Returns about how long a collection takes, and the steps of an episode that this assumes.

    Args:
        task: What is played.
        settings: What is to be collected.
        device: torch device.
        trust: See :meth:`~.tasks.Task.load_policy`.

    Raises:
        SettingsError: If nothing is named that plays.
    """
    name = settings.policy or task.default_policy
    if name is None:
        raise SettingsError(f"{task.name} has no policy of its own: name what plays, for example --policy random.")
    policy = task.load_policy(name, device=device, trust=trust).policy
    dtype = torch.uint8 if len(task.observation_shape) == 3 else torch.float32
    observations = torch.zeros(BATCH, *task.observation_shape, dtype=dtype)
    _act(policy, observations)
    start = time.perf_counter()
    for _ in range(TIMED):
        _act(policy, observations)
    forward = (time.perf_counter() - start) / TIMED / BATCH
    return 2 * forward * settings.episodes * COLLECT_STEPS, COLLECT_STEPS  # playing and writing take as long again


def evaluation_seconds(plan: Evaluation, *, device: str = "cpu:0") -> float:
    """Returns how long an evaluation takes at most, about, with one student trained at a time.

    Args:
        plan: The evaluation.
        device: torch device of the training.
    """
    samples = {name: _sample_seconds(student, plan, device) for name, student in plan.students.items()}
    if not samples:
        return 0.0
    protocol, seconds = plan.protocol, 0.0
    episodes = len(plan.splits) * len(plan.task.modes) * protocol.episodes
    for arm in plan.arms:
        mine = samples[arm.about.student or ""]
        full, _ = protocol.budgets(arm.student)
        steps, batch = (
            (arm.budget.steps, full.batch_size)
            if isinstance(arm.budget, ConvergenceConfig)
            else (arm.budget.n_steps, arm.budget.batch_size)
        )
        # a forward pass is about a third of a training step
        seconds += protocol.students * mine * (steps * batch + EVALUATE_STEPS * episodes / 3)
    return seconds + len(plan.policies) * EVALUATE_STEPS * episodes * max(samples.values()) / 3


def _sample_seconds(student: Student, plan: Evaluation, device: str) -> float:
    """Seconds that a student takes for one sample of one step, training on real data."""
    full, _ = plan.protocol.budgets(student)
    config = student.learner(plan.dataset, full)
    data = TrainingSet(plan.dataset.transitions, plan.dataset.buffer)
    taken = []
    for steps in (1, 1 + TIMED):  # their difference leaves out what comes before the first step
        start = time.perf_counter()
        student.fit(config, data, steps, seed=0, device=device)
        taken.append(time.perf_counter() - start)
    return max(taken[1] - taken[0], 1e-6) / TIMED / full.batch_size


def _act(policy: Policy, observations: torch.Tensor) -> None:
    if isinstance(policy, DiscretePolicy):
        policy.logits(observations)
    else:
        policy.actions(observations)
