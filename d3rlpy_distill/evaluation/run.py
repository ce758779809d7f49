"""The one loop of an evaluation: trains the students of every arm, plays them, and summarises."""

from __future__ import annotations

import dataclasses
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..data import OfflineDataset
from ..data.training_set import TrainingSet
from ..errors import CheckpointError, DamagedFileError
from ..executors import Stopped, in_threads
from ..learners.convergence import ConvergenceConfig, train_to_convergence
from ..learners.learner import AnyLearner
from ..policies import Policy
from ..students.kept import read_weights, save_student
from ..tasks.base import Mode, Task
from .arms import Arm, ArmKind
from .protocol import Protocol
from .results import ArmResult
from .store import EvaluationStore

__all__ = ["OnArm", "PolicyArm", "Progress", "run_arms", "student_seeds"]

TARGET_PERCENTILE = 90

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of all is done, and how much there is."""
OnArm = Callable[[Sequence[ArmResult]], None]
"""Called with the entries of each arm when it is done."""


@dataclasses.dataclass(frozen=True, eq=False)
class PolicyArm:
    """One row of a table that nothing trains.

    Args:
        name: Unique in its table.
        about: What it is.
        policy: What plays.
    """

    name: str
    about: ArmKind
    policy: Policy


def student_seeds(protocol: Protocol, arm: str, i: int) -> tuple[int, int]:
    """Returns the seeds of student ``i`` of an arm: of its data, and of its weights and batches."""
    # hashed by name, so that an arm's students do not depend on which other arms there are
    sequence = np.random.SeedSequence((protocol.seed, zlib.crc32(arm.encode()), i))
    data_seed, student_seed = (int(s) for s in sequence.generate_state(2))
    return data_seed, student_seed


def run_arms(
    task: Task,
    dataset: OfflineDataset,
    policies: Sequence[PolicyArm],
    arms: Sequence[Arm],
    protocol: Protocol,
    splits: Sequence[str],
    store: EvaluationStore,
    *,
    jobs: int = 1,
    device: str = "cpu:0",
    progress: Progress = lambda what, done, total: None,
    on_arm: OnArm = lambda entries: None,
) -> list[ArmResult]:
    """Evaluates policies and arms; run again with the same store, it goes on where it stopped.

    Args:
        task: What they play.
        dataset: The real data, to which the students' scalers are fitted.
        policies: Arms that train nothing.
        arms: Arms that train students.
        protocol: Numbers of students and episodes, budgets, seed.
        splits: What is played.
        store: Keeps students and returns.
        jobs: Students trained at once, each on one core; 1 trains them one after the other on all cores.
        device: torch device for training.
        progress: Told of every step; students, each trained, and splits, each played in a mode, are counted.
        on_arm: Told of each arm that is done.

    Returns:
        An entry for each arm, split and mode: policies first, then arms.
    """
    played = len(splits) * len(task.modes)
    total = (len(policies) + len(arms)) * played + len(arms) * protocol.students
    done = 0

    def told(what: str, of_arm: int, _: int) -> None:
        progress(what, done + of_arm, total)

    entries: list[ArmResult] = []
    for one in policies:
        own = _play(one.name, one.about, [one.policy], None, task, protocol, splits, store, told)
        done += played
        on_arm(own)
        entries += own
    for arm in arms:
        trained = _Training(arm, dataset, protocol, store, device, told).run(jobs)
        done += protocol.students
        students = [each.policy for each in trained]
        own = _play(arm.name, arm.about, students, trained, task, protocol, splits, store, told)
        done += played
        on_arm(own)
        entries += own
    return entries


@dataclasses.dataclass(frozen=True, eq=False)
class _Trained:
    policy: Policy
    samples: int
    n_bytes: int
    seconds: float


class _Training:
    """The students of one arm, trained or taken from the store."""

    def __init__(
        self,
        arm: Arm,
        dataset: OfflineDataset,
        protocol: Protocol,
        store: EvaluationStore,
        device: str,
        progress: Progress,
    ) -> None:
        self._arm, self._protocol, self._store, self._device = arm, protocol, store, device
        full, _ = protocol.budgets(arm.student)
        budget = full if isinstance(arm.budget, ConvergenceConfig) else arm.budget
        self._config = arm.student.learner(dataset, budget)
        self._progress, self._lock, self._stop = progress, threading.Lock(), threading.Event()
        self._taken: dict[int, int] = {}  # steps of each student

    def run(self, jobs: int) -> list[_Trained]:
        """Returns them in their order."""
        jobs = jobs if self._arm.student.parallel else 1
        return in_threads(self._one, range(self._protocol.students), jobs, stop=self._stop)

    def _one(self, i: int) -> _Trained:
        arm, path = self._arm, self._store.student_path(self._arm.name, i)
        data_seed, seed = student_seeds(self._protocol, arm.name, i)
        data = arm.draw(np.random.default_rng(data_seed))
        target = data.target_return(TARGET_PERCENTILE)
        if path.exists():
            weights, about = read_weights(path)
            shape = data.transitions.observations.shape[1:]
            try:
                learner = arm.student.restore(
                    self._config, weights, shape, data.transitions.action_size, device=self._device
                )
            except (RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
                raise CheckpointError(f"{path} is another student's: remove it with 'rm {path}'.") from error
            seconds = float(about["record"]["train_seconds"])
        else:
            start = time.perf_counter()
            learner, steps = self._train(i, data, seed)
            seconds = time.perf_counter() - start
            record = {"train_seconds": seconds, "steps": float(steps)}
            save_student(path, arm.about.student or "", arm.student, learner, target, record)
        return _Trained(arm.student.policy(learner, target), len(data), data.n_bytes, seconds)

    def _train(self, i: int, data: TrainingSet, seed: int) -> tuple[AnyLearner, int]:
        arm = self._arm
        if isinstance(arm.budget, ConvergenceConfig):
            return train_to_convergence(
                self._config,
                data.transitions,
                arm.budget,
                seed=seed,
                device=self._device,
                on_step=self._told(i, arm.budget.steps),
            )
        steps = arm.budget.n_steps
        learner = arm.student.fit(
            self._config, data, steps, seed=seed, device=self._device, on_step=self._told(i, steps)
        )
        return learner, steps

    def _told(self, i: int, steps: int) -> Callable[[int], None]:
        count = self._protocol.students

        def told(step: int) -> None:
            if self._stop.is_set():
                raise Stopped
            with self._lock:
                self._taken[i] = step
                done = sum(taken // steps for taken in self._taken.values())
            self._progress(f"training {self._arm.name}, student {i + 1} ({step}/{steps})", done, count)

        return told


def _play(
    name: str,
    about: ArmKind,
    policies: Sequence[Policy],
    training: Sequence[_Trained] | None,
    task: Task,
    protocol: Protocol,
    splits: Sequence[str],
    store: EvaluationStore,
    progress: Progress,
) -> list[ArmResult]:
    """Plays an arm's policies on every split in every mode, or takes what the store has."""
    known: dict[str, Any] = {}
    if training is not None:
        known = {
            "samples": training[-1].samples,
            "n_bytes": training[-1].n_bytes,
            "train_seconds": float(np.mean([one.seconds for one in training])),
        }
    entries = []
    combinations: list[tuple[str, Mode]] = [(split, mode) for split in splits for mode in task.modes]
    for n, (split, mode) in enumerate(combinations):
        progress(f"playing {name}, {split}, {mode}", n, len(combinations))
        returns = store.load_returns(name, split, mode)
        if returns is None:
            returns = task.play(policies, split=split, mode=mode, episodes=protocol.episodes, seed=protocol.seed)
            store.save_returns(name, split, mode, returns)
        elif returns.shape != (len(policies), protocol.episodes):
            raise DamagedFileError(
                f"{store.directory}: the kept returns of {name}, {split}, {mode} have shape {returns.shape}; expected "
                f"{(len(policies), protocol.episodes)}: remove them to have them played again."
            )
        normalised = task.normalise(float(returns.mean()))
        entries.append(
            ArmResult.from_returns(
                name, about, split, mode, returns, normalised=normalised, seed=protocol.seed, **known
            )
        )
    return entries
