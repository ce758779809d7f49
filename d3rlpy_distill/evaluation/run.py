"""The one loop of an evaluation: trains the students of every arm, plays them, and summarises."""

from __future__ import annotations

import dataclasses
import functools
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from d3rlpy.base import LearnableConfig

from ..errors import CheckpointError, DamagedFileError
from ..executors import Board, Branch, Flow, Pool, Unit
from ..learners.convergence import ConvergenceConfig
from ..policies import Policy
from ..students.base import Budget
from ..students.kept import PackedStudent, read_weights, write_student
from ..tasks.base import Mode
from .arms import Arm, ArmKind
from .ensemble import ENSEMBLE
from .protocol import Protocol
from .results import ArmResult
from .stage import Stage
from .store import EvaluationStore
from .tuning import Trial, Tuned, Tuning
from .units import (
    GivenPolicies,
    Players,
    Together,
    TrainedStudents,
    learner_config,
    play,
    train_student,
    try_trial,
)

__all__ = ["OnArm", "Place", "PolicyArm", "is_tuned", "run_arms", "student_seeds", "tuning_seeds"]

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


@dataclasses.dataclass(frozen=True, eq=False)
class Place:
    """Where units run.

    Args:
        pool: Runs them.
        board: Counts them.
        cores: Of each, as torch threads, on which last bits depend.
        device: torch device of training.
        within: What the units belong to, for people: the cell of a sweep.
    """

    pool: Pool
    board: Board
    cores: int = 1
    device: str = "cpu:0"
    within: str = ""

    def unit(self, name: str, function: Any, *arguments: Any) -> Unit[Any]:
        """Returns a unit with its cores, and with a GPU if the device is one."""
        name = f"{self.within}: {name}" if self.within else name
        return Unit(name, function, arguments, self.cores, int(self.device.startswith("cuda")))


def student_seeds(protocol: Protocol, arm: str, i: int) -> tuple[int, int]:
    """Returns the seeds of student ``i`` of an arm: of its data, and of its weights and batches."""
    # hashed by name, so that an arm's students do not depend on which other arms there are
    sequence = np.random.SeedSequence((protocol.seed, zlib.crc32(arm.encode()), i))
    data_seed, student_seed = (int(s) for s in sequence.generate_state(2))
    return data_seed, student_seed


def tuning_seeds(protocol: Protocol, arm: str, i: int) -> tuple[int, int]:
    """Returns the seeds of student ``i`` of each trial of an arm's budget, which no student that is evaluated has."""
    return student_seeds(protocol, f"{arm} tuned", i)  # no arm's name has a space


def run_arms(
    stage: Stage,
    policies: Sequence[PolicyArm],
    arms: Sequence[Arm],
    protocol: Protocol,
    splits: Sequence[str],
    store: EvaluationStore,
    place: Place,
    on_arm: OnArm = lambda entries: None,
) -> Flow[tuple[list[ArmResult], dict[str, Tuned]]]:
    """Evaluates policies and arms; run again with the same store, it goes on where it stopped.

    Args:
        stage: What they play, and the real data, to which the students' scalers are fitted.
        policies: Arms that train nothing.
        arms: Arms that train students.
        protocol: Numbers of students and episodes, budgets, seed.
        splits: What is played.
        store: Keeps students and returns.
        place: Where it runs.
        on_arm: Told of each arm that is done.

    Returns:
        An entry for each arm, split and mode: policies first, then arms, each before its ensemble. And what was tried
        for each arm's budget, where budgets are tuned.
    """
    run = _Run(stage, protocol, splits, store, place, on_arm)
    place.board.expect(len(policies) * len(run.combinations))
    played = len(run.combinations) * (1 + protocol.ensembles)
    place.board.expect(len(arms) * (protocol.students + played))
    if protocol.tuning is not None:
        trials = protocol.tuning.students * len(protocol.tuning.trials)
        place.board.expect(trials * sum(is_tuned(arm) for arm in arms))
    entries = yield [
        *(Branch(run.policy_arm(one)) for one in policies),
        *(Branch(run.student_arm(arm)) for arm in arms),
    ]
    return [entry for each in entries for entry in each], {
        arm.name: run.tuned[arm.name] for arm in arms if arm.name in run.tuned
    }


def is_tuned(arm: Arm) -> bool:
    """Tells whether an arm has a budget that can be tuned: one that trains to convergence has its own end."""
    return isinstance(arm.budget, Budget)


@dataclasses.dataclass(frozen=True, eq=False)
class _Run:
    stage: Stage
    protocol: Protocol
    splits: Sequence[str]
    store: EvaluationStore
    place: Place
    on_arm: OnArm
    tuned: dict[str, Tuned] = dataclasses.field(default_factory=dict)

    @property
    def combinations(self) -> list[tuple[str, Mode]]:
        return [(split, mode) for split in self.splits for mode in self.stage.task.modes]

    def policy_arm(self, one: PolicyArm) -> Flow[list[ArmResult]]:
        return self.play(one.name, one.about, GivenPolicies([one.policy]), {})

    def student_arm(self, arm: Arm) -> Flow[list[ArmResult]]:
        """Trains the students of an arm, or takes them from the store, and plays them."""
        dataset, full = self.stage.dataset, self.protocol.budgets(arm.student)[0]
        if isinstance(arm.budget, ConvergenceConfig):
            config = arm.student.learner(dataset, full)
        elif self.protocol.tuning is None:
            config = arm.student.learner(dataset, arm.budget)
        else:
            tuned = self.tuned[arm.name] = yield from self.tune(arm, self.protocol.tuning)
            arm, config = (
                dataclasses.replace(arm, budget=tuned.best.budget),
                learner_config(arm.student, dataset, tuned.best),
            )
        shared = functools.cache(lambda: self.place.pool.share(arm))
        students: list[PackedStudent] = yield [
            Branch(self.student(arm, config, i, shared)) for i in range(self.protocol.students)
        ]
        records = [one.about["record"] for one in students]
        last = records[-1]
        if "samples" not in last:  # an earlier version's
            seeds = student_seeds(self.protocol, arm.name, len(students) - 1)
            data = arm.draw(dataset, np.random.default_rng(seeds[0]))
            last = {"samples": len(data), "n_bytes": data.n_bytes}
        known = {
            "samples": int(last["samples"]),
            "n_bytes": int(last["n_bytes"]),
            "train_seconds": float(np.mean([float(record["train_seconds"]) for record in records])),
        }
        players = self.players(arm, config, students)
        if not self.protocol.ensembles:
            return (yield from self.play(arm.name, arm.about, players, known))
        together = dataclasses.replace(arm.about, kind="ensemble", of=arm.name)
        alone, joined = yield [
            Branch(self.play(arm.name, arm.about, players, known)),
            Branch(self.play(f"{ENSEMBLE}{arm.name}", together, Together(players), known)),
        ]
        return [*alone, *joined]

    def tune(self, arm: Arm, tuning: Tuning) -> Flow[Tuned]:
        """Tries every budget, or takes what the store has."""
        shared = functools.cache(lambda: self.place.pool.share(arm))
        every = [(trial, i) for trial in tuning.trials for i in range(tuning.students)]
        scores = yield [Branch(self.trial(arm, trial, i, tuning, shared)) for trial, i in every]
        rows = np.array(scores).reshape(len(tuning.trials), tuning.students)
        return Tuned(tuning.trials, rows.tolist())

    def trial(self, arm: Arm, trial: Trial, i: int, tuning: Tuning, shared: Any) -> Flow[float]:
        place, protocol, stage = self.place, self.protocol, self.stage
        kept = self.store.load_trial(arm.name, trial.key, i, tuning.episodes)
        if kept is not None:
            place.board.skip()
            return float(kept.mean())
        seeds = tuning_seeds(protocol, arm.name, i)
        arguments = stage.shared_dataset, stage.shared_task, shared(), trial, seeds
        (returns,) = yield [
            place.unit(
                f"tuning {arm.name}, {trial}, student {i + 1}",
                try_trial,
                *arguments,
                place.device,
                tuning.episodes,
                protocol.seed,
            )
        ]
        self.store.save_trial(arm.name, trial.key, i, returns)
        return float(returns.mean())

    def players(self, arm: Arm, config: LearnableConfig, packed: Sequence[PackedStudent]) -> TrainedStudents:
        dataset, device = self.stage.dataset, self.place.device
        return TrainedStudents(arm.student, config, dataset.observation_shape, dataset.action_size, device, packed)

    def student(self, arm: Arm, config: LearnableConfig, i: int, shared: Any) -> Flow[PackedStudent]:
        path, place = self.store.student_path(arm.name, i), self.place
        if path.exists():
            packed = PackedStudent(*read_weights(path))
            try:
                self.players(arm, config, [packed]).ready()
            except (RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
                raise CheckpointError(f"{path} is another student's: remove it with 'rm {path}'.") from error
            place.board.skip()
            return packed
        seeds = student_seeds(self.protocol, arm.name, i)
        name = f"training {arm.name}, student {i + 1}"
        (trained,) = yield [
            place.unit(name, train_student, self.stage.shared_dataset, shared(), config, seeds, place.device)
        ]
        write_student(path, trained)
        return trained  # type: ignore[no-any-return]

    def play(self, name: str, about: ArmKind, players: Players, known: dict[str, Any]) -> Flow[list[ArmResult]]:
        """Plays an arm on every split in every mode, or takes what the store has."""
        shared = functools.cache(lambda: self.place.pool.share(players))
        every = yield [
            Branch(self.returns(name, split, mode, players, shared)) for split, mode in self.combinations
        ]
        entries = [
            ArmResult.from_returns(
                name,
                about,
                split,
                mode,
                returns,
                normalised=self.stage.task.normalise(float(returns.mean())),
                seed=self.protocol.seed,
                **known,
            )
            for (split, mode), returns in zip(self.combinations, every, strict=True)
        ]
        self.on_arm(entries)
        return entries

    def returns(
        self, name: str, split: str, mode: Mode, players: Players, shared: Any
    ) -> Flow[npt.NDArray[np.float64]]:
        protocol, place = self.protocol, self.place
        kept = self.store.load_returns(name, split, mode)
        if kept is not None:
            if kept.shape != (len(players), protocol.episodes):
                raise DamagedFileError(
                    f"{self.store.directory}: the kept returns of {name}, {split}, {mode} have shape {kept.shape}; "
                    f"expected {(len(players), protocol.episodes)}: remove them to have them played again."
                )
            place.board.skip()
            return kept
        what = f"playing {name}, {split}, {mode}"
        (played,) = yield [
            place.unit(what, play, self.stage.shared_task, shared(), split, mode, protocol.episodes, protocol.seed)
        ]
        self.store.save_returns(name, split, mode, played)
        return played  # type: ignore[no-any-return]
