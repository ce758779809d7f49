"""What an evaluation does in units: a student trained, an arm played on one split in one mode, a budget tried."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from d3rlpy.base import LearnableConfig

from ..data import OfflineDataset
from ..data.training_set import TrainingSet
from ..executors import Tell
from ..learners.convergence import ConvergenceConfig, train_to_convergence
from ..learners.learner import AnyLearner
from ..policies import Policy
from ..students.base import Student
from ..students.kept import PackedStudent, pack_student
from ..tasks.base import Mode, Task
from .arms import Arm
from .ensemble import ensemble
from .tuning import VALIDATION, Trial

__all__ = [
    "GivenPolicies",
    "Players",
    "Together",
    "TrainedStudents",
    "learner_config",
    "play",
    "train_student",
    "try_trial",
]

TARGET_PERCENTILE = 90


def train_student(
    tell: Tell, dataset: OfflineDataset, arm: Arm, config: LearnableConfig, seeds: tuple[int, int], device: str
) -> PackedStudent:
    """Draws a student's data and trains it.

    Args:
        tell: Told of each step.
        dataset: The real data.
        arm: What it is trained on, and for how long.
        config: The learner.
        seeds: Of its data, and of its weights and batches.
        device: torch device.
    """
    data = arm.draw(dataset, np.random.default_rng(seeds[0]))
    start = time.perf_counter()
    learner, steps = _fit(tell, arm, config, data, seeds[1], device)
    seconds = time.perf_counter() - start
    record = {"train_seconds": seconds, "steps": float(steps), "samples": len(data), "n_bytes": data.n_bytes}
    target = data.target_return(TARGET_PERCENTILE)
    return pack_student(arm.about.student or "", arm.student, learner, target, record)


def _fit(
    tell: Tell, arm: Arm, config: LearnableConfig, data: TrainingSet, seed: int, device: str
) -> tuple[AnyLearner, int]:
    if isinstance(arm.budget, ConvergenceConfig):
        steps = arm.budget.steps
        return train_to_convergence(
            config, data.transitions, arm.budget, seed=seed, device=device, on_step=lambda step: tell(step, steps)
        )
    n = arm.budget.n_steps
    learner = arm.student.fit(config, data, n, seed=seed, device=device, on_step=lambda step: tell(step, n))
    return learner, n


@dataclasses.dataclass(frozen=True, eq=False)
class GivenPolicies:
    """Policies that nothing trains."""

    policies: Sequence[Policy]

    def __len__(self) -> int:
        return len(self.policies)

    def ready(self) -> Sequence[Policy]:
        """Returns them."""
        return self.policies


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedStudents:
    """The students of an arm.

    Args:
        student: What they are.
        config: Their learner.
        shape: Of one observation.
        action_size: Number of actions, or of the dimensions of one.
        device: torch device.
        packed: One each.
    """

    student: Student
    config: LearnableConfig
    shape: tuple[int, ...]
    action_size: int
    device: str
    packed: Sequence[PackedStudent]

    def __len__(self) -> int:
        return len(self.packed)

    def ready(self) -> Sequence[Policy]:
        """Returns them as policies, their networks built anew.

        Raises: anything, by d3rlpy, if weights are another network's.
        """
        return [
            self.student.policy(
                self.student.restore(self.config, one.weights, self.shape, self.action_size, device=self.device),
                float(one.about["target_return"]),
            )
            for one in self.packed
        ]


@dataclasses.dataclass(frozen=True, eq=False)
class Together:
    """The students of an arm as one policy."""

    students: TrainedStudents

    def __len__(self) -> int:
        return 1

    def ready(self) -> Sequence[Policy]:
        """Returns their ensemble."""
        return [ensemble(self.students.ready())]


Players = GivenPolicies | TrainedStudents | Together


def play(
    tell: Tell, task: Task, players: Players, split: str, mode: Mode, episodes: int, seed: int
) -> npt.NDArray[np.float64]:
    """Plays an arm and returns the returns, ``(S, K)``; see :meth:`~..tasks.Task.play`."""
    return task.play(players.ready(), split=split, mode=mode, episodes=episodes, seed=seed)


def learner_config(student: Student, dataset: OfflineDataset, trial: Trial) -> LearnableConfig:
    """Returns a student's learner for a trial: its own, with the trial's batch size and learning rate."""
    config = student.learner(dataset, trial.budget)
    if trial.learning_rate is None:
        return config
    return dataclasses.replace(config, learning_rate=trial.learning_rate)


def try_trial(
    tell: Tell,
    dataset: OfflineDataset,
    task: Task,
    arm: Arm,
    trial: Trial,
    seeds: tuple[int, int],
    device: str,
    episodes: int,
    seed: int,
) -> npt.NDArray[np.float64]:
    """Trains one student and plays it on validation starts; returns its returns, ``(episodes,)``.

    Args:
        tell: Told of each step.
        dataset: The real data.
        task: What is played.
        arm: What it is trained on.
        trial: For how long, and at which learning rate.
        seeds: Of its data, and of its weights and batches.
        device: torch device.
        episodes: Episodes to play.
        seed: Of the playing.
    """
    config = learner_config(arm.student, dataset, trial)
    tried = dataclasses.replace(arm, budget=trial.budget)
    packed = train_student(tell, dataset, tried, config, seeds, device)
    shape, size = dataset.observation_shape, dataset.action_size
    players = TrainedStudents(arm.student, config, shape, size, device, [packed])
    returns: npt.NDArray[np.float64] = play(tell, task, players, VALIDATION, task.modes[0], episodes, seed)[0]
    return returns
