"""The arms of a table: what each student is trained on, and for how long."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..catalogue import METHODS
from ..data import OfflineDataset
from ..data.percentile import best_episodes
from ..data.relabel import sharpen
from ..data.training_set import TrainingSet
from ..errors import DistillError, SettingsError
from ..learners.convergence import ConvergenceConfig
from ..methods.base import Method
from ..methods.decisions import policy_actions
from ..methods.distilled import Distilled
from ..policies import ContinuousPolicy, Policy
from ..students.base import Budget, Student
from ..students.cloning import CloningStudent
from ..students.teachers import Teachers
from .protocol import Protocol

__all__ = [
    "BASELINES",
    "PERCENTILES",
    "Arm",
    "ArmKind",
    "compared_arms",
    "equal_arms",
    "is_reserved",
    "standard_arms",
]

PERCENTILES = (10, 25, 40, 100)
BASELINES = ("prior", "random", "balanced")
"""The coresets that every table has."""
COMPARED_PERCENTILE = 10
SHARPNESS = 4.0  # of the recorded policy as labels, where the distilled set names none

Draw = Callable[[OfflineDataset, np.random.Generator], TrainingSet]
"""Gives a student its training data: from the dataset, and from a generator of the student's own. It can be pickled."""


@dataclasses.dataclass(frozen=True)
class ArmKind:
    """What an arm is; tables read this and never the name.

    Args:
        kind: ``"random-policy"``, ``"expert"``, ``"teachers"``, ``"full"``, ``"percentile"``, ``"converged"``, the
            name of a coreset, ``"initial"``, ``"distilled"``, for a set with soft labels that is trained on its
            actions ``"distilled-actions"``, or ``"ensemble"`` of another arm's students.
        size: Samples, where they are few.
        labels: ``"actions"``, ``"soft"``, or ``"expert"`` where an expert's actions take their place.
        student: Name of the student; None for policies that nothing trains.
        of: The distilled set that it stands beside, or the arm whose students it joins, by the arm's name; None where
            it belongs to all.
        teachers: Hash of the teachers that gave the soft labels, hexadecimal; None where none did.
    """

    kind: str
    size: int | None = None
    labels: str = "actions"
    student: str | None = None
    of: str | None = None
    teachers: str | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Arm:
    """One row of a table whose students are trained.

    Args:
        name: Unique in its table; seeds depend on it.
        about: What it is.
        student: How its students are trained.
        draw: What they are trained on.
        budget: For how long; a :class:`ConvergenceConfig` trains to convergence.
        optional: Left out unless it is asked for by name.
    """

    name: str
    about: ArmKind
    student: Student
    draw: Draw
    budget: Budget | ConvergenceConfig
    optional: bool = False


def is_reserved(name: str) -> bool:
    """Tells whether a table may have an arm of this name by itself, whatever the size of its small sets."""
    kinds = ("bc", "init", "distilled", "teachers-of", "actions-of", "ensemble-of", *METHODS.names("coreset"))
    return name == "expert" or name.startswith(tuple(f"{kind}-" for kind in kinds))


def standard_arms(
    name: str,
    student: Student,
    dataset: OfflineDataset,
    distilled: Mapping[str, Distilled],
    protocol: Protocol,
    coresets: Sequence[str] = (),
    random_soft: Sequence[int] = (),
    *,
    expert: Policy | None = None,
) -> list[Arm]:
    """Returns the arms of an imitating student.

    A student of a coreset that draws has a subset of its own, so that these arms do not hang on one lucky draw; all
    students of a distilled set share it, being one dataset. Beside a set that was moved stands what it was before the
    first step: ``init-N`` beside the first, ``init-of-NAME`` of another, if it is asked for. Beside a set with soft
    labels, NAME, stands ``random-NAME``: as many random observations, a student's own, labelled by the same teachers.
    ``actions-of-NAME``, if it is asked for, is the set with the actions that it carries as labels.

    Args:
        name: Of the student, as registered.
        student: How they are trained.
        dataset: The dataset that was distilled.
        distilled: Distilled sets by arm; the first one's size is that of the coresets.
        protocol: Budgets.
        coresets: Further coresets, by name.
        random_soft: Further sizes of random observations with labels of each set's teachers: ``random-soft-600``
            beside ``soft-150``. Sets of the same teachers share them.
        expert: Of continuous actions, it labels all data for ``bc-100-of-expert``, if that is asked for.
    """
    full, small = protocol.budgets(student)
    n = len(next(iter(distilled.values())))
    arms = []
    for percent in PERCENTILES:
        about = ArmKind("full" if percent == 100 else "percentile", student=name)
        arms.append(Arm(f"bc-{percent}", about, student, Percentile(percent), full))
    cloning = isinstance(student, CloningStudent)
    if cloning:
        about = ArmKind("converged", student=name)
        arms.append(Arm("bc-100-converged", about, student, Percentile(100), protocol.convergence))
    if cloning and dataset.behaviour is not None:
        about = ArmKind("full", labels="soft", student=name)
        recorded = Recorded(_sharpness(distilled))
        arms.append(Arm("bc-100-soft", about, student, recorded, full, optional=True))
    if isinstance(expert, ContinuousPolicy):
        about = ArmKind("full", labels="expert", student=name)
        arms.append(Arm("bc-100-of-expert", about, student, Imitated(expert), full, optional=True))
    known = BASELINES if dataset.discrete else ("random",)
    for coreset in dict.fromkeys([*known, *coresets]):
        about = ArmKind(coreset, size=n, student=name)
        arms.append(Arm(f"{coreset}-{n}", about, student, _coreset(coreset, n), small))
    for arm, one in distilled.items():
        arms += _of_distilled(arm, name, student, one, small)
    return arms + _random_soft(name, student, dataset, distilled, random_soft, small)


def compared_arms(
    name: str,
    student: Student,
    dataset: OfflineDataset,
    distilled: Mapping[str, Distilled],
    protocol: Protocol,
    coresets: Sequence[str] = (),
    random_soft: Sequence[int] = (),
) -> list[Arm]:
    """Returns the arms of a student among several: all data, the best tenth, random samples, distilled sets.

    On the real data algorithms get its episodes; on small sets, one-step terminal episodes whose reward is the
    return-to-go.

    Args: those of :func:`standard_arms`.
    """
    full, small = protocol.budgets(student)
    n = len(next(iter(distilled.values())))
    arms = [Arm(f"{name}-full", ArmKind("full", student=name), student, Percentile(100), full)]
    best = Percentile(COMPARED_PERCENTILE)
    about = ArmKind("percentile", student=name)
    arms.append(Arm(f"{name}-percentile-{COMPARED_PERCENTILE}", about, student, best, full))
    for coreset in dict.fromkeys(["random", *coresets]):
        about = ArmKind(coreset, size=n, student=name)
        arms.append(Arm(f"{name}-{coreset}-{n}", about, student, _coreset(coreset, n), small))
    for arm, one in distilled.items():
        if one.soft and not student.takes_soft_labels:
            continue
        of = [each for each in _of_distilled(arm, name, student, one, small) if each.about.kind != "initial"]
        arms += [dataclasses.replace(each, name=f"{name}-{each.name}") for each in of]
    if student.takes_soft_labels:
        further = _random_soft(name, student, dataset, distilled, random_soft, small)
        arms += [dataclasses.replace(each, name=f"{name}-{each.name}") for each in further]
    return arms


def equal_arms(dataset: OfflineDataset, arms: Sequence[Arm]) -> list[str]:
    """Says which arms of a student train on the very same episodes, as short datasets' percentiles may.

    Args:
        dataset: The dataset that was distilled.
        arms: Those that are evaluated.
    """
    same: dict[tuple[str | None, int], list[str]] = {}
    for arm in arms:
        if isinstance(arm.draw, Percentile) and arm.about.kind in ("full", "percentile"):
            # the best episodes, each set a part of the next: those of one size are one
            size = len(best_episodes(dataset.buffer, arm.draw.percent))
            same.setdefault((arm.about.student, size), []).append(arm.name)
    total = dataset.buffer.size()
    return [
        f"{', '.join(names)} train on the very same episodes, {size} of {total}: they differ in their seeds alone, and "
        "more episodes would tell them apart."
        for (_, size), names in same.items()
        if len(names) > 1
    ]


def _of_distilled(arm: str, name: str, student: Student, distilled: Distilled, small: Budget) -> list[Arm]:
    """A distilled set, and what stands beside it: its start, or random samples with such labels and its actions."""
    n, labels, taught = len(distilled), "soft" if distilled.soft else "actions", _taught_by(distilled)
    about = ArmKind("distilled", n, labels, name, teachers=taught)
    own = Arm(arm, about, student, Whole(distilled.training_set()), small)
    if distilled.soft:
        hard = TrainingSet(dataclasses.replace(distilled.samples, probabilities=None))
        about = ArmKind("distilled-actions", n, "actions", name, of=arm)
        of_actions = Arm(f"actions-of-{arm}", about, student, Whole(hard), small, optional=True)
        if distilled.teachers is None:
            return [own, of_actions]
        about = ArmKind("random", n, "soft", name, of=arm, teachers=taught)
        random = Arm(f"random-{arm}", about, student, RandomSoft(n, distilled.teachers), small)
        return [random, own, of_actions]
    if distilled.initial is not None:
        about = ArmKind("initial", n, labels, name, of=arm)
        initial, first = Whole(TrainingSet(distilled.initial)), arm == f"distilled-{n}"
        called = f"init-{n}" if first else f"init-of-{arm}"
        return [Arm(called, about, student, initial, small, optional=not first), own]
    return [own]


def _random_soft(
    name: str,
    student: Student,
    dataset: OfflineDataset,
    distilled: Mapping[str, Distilled],
    sizes: Sequence[int],
    small: Budget,
) -> list[Arm]:
    """Random samples of further sizes, once for all sets that have the same teachers."""
    there = {(_taught_by(one), len(one)) for one in distilled.values()}
    names = {f"random-{arm}" for arm in distilled}
    arms = []
    for size, (arm, one) in itertools.product(sorted(set(sizes)), distilled.items()):
        taught = _taught_by(one)
        if one.teachers is None or (taught, size) in there:
            continue
        if not 1 <= size <= len(dataset):
            raise SettingsError(f"random-soft {size}: expected 1 to {len(dataset)}, the size of {dataset.name}.")
        there.add((taught, size))
        free = f"random-{arm.removesuffix(f'-{len(one)}')}-{size}"
        free = f"random-{arm}-{size}" if free in names else free
        names.add(free)
        about = ArmKind("random", size, "soft", name, of=arm, teachers=taught)
        arms.append(Arm(free, about, student, RandomSoft(size, one.teachers), small))
    return arms


def _taught_by(distilled: Distilled) -> str | None:
    return None if distilled.teachers is None else distilled.teachers.sha256


@dataclasses.dataclass(frozen=True, eq=False)
class Whole:
    """The same set for every student."""

    data: TrainingSet

    def __call__(self, dataset: OfflineDataset, rng: np.random.Generator) -> TrainingSet:
        return self.data


@dataclasses.dataclass(frozen=True)
class Percentile:
    """The best episodes; 100 takes all."""

    percent: float

    def __call__(self, dataset: OfflineDataset, rng: np.random.Generator) -> TrainingSet:
        return TrainingSet(dataset.best(self.percent)[0], dataset.replay_buffer(self.percent))


@dataclasses.dataclass(frozen=True)
class Recorded:
    """All data with the behaviour policy's recorded probabilities, sharpened, as soft labels."""

    sharpness: float

    def __call__(self, dataset: OfflineDataset, rng: np.random.Generator) -> TrainingSet:
        policy = dataset.policy
        assert policy is not None
        soft = sharpen(policy, self.sharpness).astype(np.float32)
        return TrainingSet(dataclasses.replace(dataset.transitions, probabilities=soft))


@dataclasses.dataclass(frozen=True, eq=False)
class Imitated:
    """All data with what a policy does there as actions."""

    policy: ContinuousPolicy

    def __call__(self, dataset: OfflineDataset, rng: np.random.Generator) -> TrainingSet:
        actions = policy_actions(self.policy, dataset.transitions.observations)
        return TrainingSet(dataclasses.replace(dataset.transitions, actions=actions))


@dataclasses.dataclass(frozen=True, eq=False)
class Chosen:
    """What a coreset chooses."""

    method: Method

    def __call__(self, dataset: OfflineDataset, rng: np.random.Generator) -> TrainingSet:
        return self.method.distill(dataset, rng).training_set()


@dataclasses.dataclass(frozen=True, eq=False)
class RandomSoft:
    """Random observations with the labels of a distilled set's teachers."""

    n_samples: int
    teachers: Teachers

    def __call__(self, dataset: OfflineDataset, rng: np.random.Generator) -> TrainingSet:
        samples = METHODS.get("random")(n_samples=self.n_samples).distill(dataset, rng).samples
        soft = self.teachers.label(samples.observations)
        return TrainingSet(dataclasses.replace(samples, probabilities=soft))


def _sharpness(distilled: Mapping[str, Distilled]) -> float:
    """What the first distilled set that says it was made with."""
    for name, one in distilled.items():
        settings = one.provenance.settings if one.provenance else {}
        value = (settings.get("config") or {}).get("sharpness")
        if isinstance(value, int | float) and value > 0:
            return float(value)
        if value is not None:
            raise DistillError(
                f"{name} says that it was made with sharpness {value!r}: expected a number above 0."
            )
    return SHARPNESS


def _coreset(name: str, n: int) -> Draw:
    if name not in METHODS.names("coreset"):
        raise SettingsError(f"coreset {name!r}: expected some of {', '.join(METHODS.names('coreset'))}.")
    return Chosen(METHODS.get(name)(n_samples=n))
