"""About how long things take, from a few timed steps: what a dry run says."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from .catalogue import METHODS
from .data import OfflineDataset
from .data.training_set import TrainingSet
from .errors import SettingsError
from .learners.convergence import ConvergenceConfig
from .methods.base import Method, Phase, Run
from .pipeline import Evaluation, load
from .policies import DiscretePolicy, Policy
from .students.base import Budget, Student
from .sweeping import Cell, Sweep
from .tasks.base import CollectSettings, Task, TrainSettings

__all__ = [
    "UnitCost",
    "collection_seconds",
    "distillation_seconds",
    "evaluation_seconds",
    "evaluation_units",
    "sweep_units",
    "training_seconds",
]

COLLECT_STEPS = 300  # of an episode: experts' last 50 to 600 steps, depending on the task
EVALUATE_STEPS = 200  # likewise, of students
TIMED = 3
NOTICEABLE = 0.1  # seconds
MOST = 100  # steps
ENOUGH = 5.0  # seconds of training an expert
BATCH = 64


class _Timed(Exception):
    """Enough steps were taken."""


def distillation_seconds(
    method: Method, dataset: OfflineDataset, *, seed: int = 0, device: str = "cpu:0", taught: bool = False
) -> float:
    """Returns about how long a distillation takes, from its first steps; one that takes none is made, to refuse it.

    Args:
        method: The method as it is configured.
        dataset: What is to be distilled.
        seed: As the distillation's.
        device: torch device.
        taught: Leave out the first phase of a method that begins with teachers, since another set's are taken.
    """
    if method.total_steps == 0:
        start = time.perf_counter()
        method.distill(dataset, np.random.default_rng(seed), Run(device))
        return time.perf_counter() - start
    return sum(_phase_seconds(phase, dataset, seed, device) for phase in method.phases()[int(taught) :])


def _phase_seconds(phase: Phase, dataset: OfflineDataset, seed: int, device: str) -> float:
    ticks = [time.perf_counter()]

    def tick(step: int, total: int, loss: float) -> None:
        ticks.append(time.perf_counter())
        if step == phase.after + TIMED:
            raise _Timed

    with contextlib.suppress(_Timed):  # what follows the last step may take long
        phase.method.distill(dataset, np.random.default_rng(seed), Run(device, on_step=tick))
    ticks = ticks[min(phase.after, len(ticks) - 2) :]
    if len(ticks) > 2:
        ticks = ticks[1:]  # the first step is slow
    return (ticks[-1] - ticks[0]) / (len(ticks) - 1) * phase.steps


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


@dataclasses.dataclass(frozen=True)
class UnitCost:
    """Units of work that cost the same.

    Args:
        cell: The cell of a sweep that they belong to; empty in an evaluation.
        name: What they do.
        units: How many there are.
        seconds: Of each, at most, about.
    """

    cell: str
    name: str
    units: int
    seconds: float


def evaluation_seconds(plan: Evaluation, *, device: str = "cpu:0") -> float:
    """Returns how long an evaluation takes at most, about, with one unit at a time.

    Args:
        plan: The evaluation.
        device: torch device of the training.
    """
    return sum(cost.units * cost.seconds for cost in evaluation_units(plan, device=device))


def evaluation_units(plan: Evaluation, *, device: str = "cpu:0", cell: str = "") -> list[UnitCost]:
    """Returns the units of an evaluation and what they cost, from a few timed steps; see :func:`evaluation_seconds`."""
    samples = {name: _sample_seconds(student, plan, device) for name, student in plan.students.items()}
    protocol, costs = plan.protocol, []
    combinations = len(plan.splits) * len(plan.task.modes)
    # a forward pass is about a third of a training step
    played = EVALUATE_STEPS * protocol.episodes / 3
    slowest = max(samples.values(), default=0.0)
    costs += [UnitCost(cell, f"playing {one.name}", combinations, slowest * played) for one in plan.policies]
    for arm in plan.arms:
        mine = samples[arm.about.student or ""]
        full, _ = protocol.budgets(arm.student)
        tuning = protocol.tuning if isinstance(arm.budget, Budget) else None
        if tuning is not None:
            watched = tuning.episodes * EVALUATE_STEPS / 3
            costs += [
                UnitCost(
                    cell,
                    f"tuning {arm.name}, {one}",
                    tuning.students,
                    mine * (one.budget.n_steps * one.budget.batch_size + watched),
                )
                for one in tuning.trials
            ]
        steps, batch = (
            (arm.budget.steps, full.batch_size)
            if isinstance(arm.budget, ConvergenceConfig)
            else (arm.budget.n_steps, arm.budget.batch_size)
        )
        if tuning is not None:  # whichever is chosen
            steps, batch = max(((one.n_steps, one.batch_size) for one in tuning.budgets), key=math.prod)
        costs.append(UnitCost(cell, f"training {arm.name}", protocol.students, mine * steps * batch))
        playing = protocol.students * mine * played
        costs.append(UnitCost(cell, f"playing {arm.name}", combinations, playing))
        if protocol.ensembles:
            costs.append(UnitCost(cell, f"playing ensemble-of-{arm.name}", combinations, playing))
    return costs


def sweep_units(plan: Sweep) -> list[UnitCost]:
    """Returns the units of a sweep of which nothing is done yet, and what they cost, from a few timed steps.

    Cells that differ in their seed alone are timed once. Random samples stand for the distilled ones, whose students
    train as long.

    Raises:
        DistillError: If a cell cannot run: a name, a split, a policy or a size that does not go with its dataset.
    """
    timed: dict[tuple[object, ...], list[UnitCost]] = {}
    costs: list[UnitCost] = []
    dataset, loaded = None, None
    for cell in plan.cells:
        taught = cell.taught_by is not None
        key = (cell.dataset, cell.config.student, cell.method, cell.samples, cell.full, taught)
        if key not in timed:
            if dataset is None or loaded != cell.dataset:
                dataset, loaded = load(cell.dataset, task=cell.config.task), cell.dataset
            timed[key] = _cell_units(cell, dataset)
        costs += [dataclasses.replace(cost, cell=cell.name) for cost in timed[key]]
    return costs


def _cell_units(cell: Cell, dataset: OfflineDataset) -> list[UnitCost]:
    config = cell.config
    method = cell.configure(dataset)
    taught = cell.taught_by is not None
    seconds = distillation_seconds(method, dataset, seed=cell.seed, device=config.device, taught=taught)
    rng = np.random.default_rng(cell.seed)
    stand_in = METHODS.get("random")(n_samples=cell.samples).distill(dataset, rng)
    if method.labels == "soft":
        even = np.full((cell.samples, dataset.action_size), 1 / dataset.action_size, np.float32)
        stand_in = dataclasses.replace(stand_in, samples=dataclasses.replace(stand_in.samples, probabilities=even))
    plan = cell.plan(dataset, stand_in)
    return [UnitCost("", "distilling", 1, seconds), *evaluation_units(plan, device=config.device)]


def training_seconds(
    task: Task, settings: TrainSettings, *, max_minutes: float | None = None, device: str = "cpu:0"
) -> float:
    """Returns about how long the training of an expert takes, from its first updates, which are thrown away.

    Args:
        task: What is played.
        settings: How the expert is trained.
        max_minutes: When it is stopped.
        device: torch device.
    """
    start = time.perf_counter()
    seconds = 0.0

    def tick(steps: int, note: str) -> None:
        nonlocal seconds
        taken = time.perf_counter() - start
        seconds = taken / steps * settings.steps
        if taken > ENOUGH:
            raise _Timed

    with tempfile.TemporaryDirectory() as directory, contextlib.suppress(_Timed):
        task.train_expert(settings, Path(directory) / "run", device=device, card_episodes=1, on_update=tick)
        seconds = time.perf_counter() - start  # it was that short
    return seconds if max_minutes is None else min(seconds, 60 * max_minutes)


def _sample_seconds(student: Student, plan: Evaluation, device: str) -> float:
    """Seconds that a student takes for one sample of one step, training on real data."""
    full, _ = plan.protocol.budgets(student)
    config = student.learner(plan.dataset, full)
    data = TrainingSet(plan.dataset.transitions, plan.dataset.buffer)

    def fit(steps: int) -> float:
        start = time.perf_counter()
        student.fit(config, data, steps, seed=0, device=device)
        return time.perf_counter() - start

    fit(1)  # the very first is slow
    before, steps = fit(1), TIMED
    while True:  # the difference leaves out what comes before the first step, and must be more than noise
        taken = fit(1 + steps) - before
        if taken > NOTICEABLE or steps > MOST:
            return max(taken, NOTICEABLE / 10) / steps / full.batch_size
        steps *= 4


def _act(policy: Policy, observations: torch.Tensor) -> None:
    if isinstance(policy, DiscretePolicy):
        policy.logits(observations)
    else:
        policy.actions(observations)
