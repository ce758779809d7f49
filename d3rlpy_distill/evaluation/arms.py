"""The arms of every table: what each student is trained on, and for how long."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from d3rlpy.dataset import ReplayBuffer

from ..convergence import ConvergenceConfig
from ..presets import PAPER_BC, PAPER_SYNTHETIC, Budget
from ..selection import BalancedSelector, PercentileSelector, PriorSelector, RandomSelector, Selector
from ..teachers import Teachers
from ..transitions import TransitionArrays

__all__ = [
    "PERCENTILES",
    "TEACHERS_OF",
    "Arm",
    "BenchmarkConfig",
    "SmallSet",
    "arm_names",
    "is_reserved",
    "standard_arms",
]

PERCENTILES = (10, 25, 40, 100)
SMALL_KINDS = ("prior", "random", "balanced", "init", "distilled")
TEACHERS_OF = "teachers-of"
"""With a dash and the name of an arm with soft labels: the policy that gave them."""


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
    """How an evaluation is done; equal configurations give equal results on one machine.

    Args:
        students: Students an arm.
        episodes: Episodes each, on each split and in each mode.
        bc: Budget of the students on real data.
        synthetic: Budget of the students on as many samples as the synthetic set has.
        convergence: How ``bc-100-converged`` trains.
        seed: Fixes subsets, students and action sampling.
    """

    students: int = 10
    episodes: int = 100
    bc: Budget = PAPER_BC
    synthetic: Budget = PAPER_SYNTHETIC
    convergence: ConvergenceConfig = dataclasses.field(default_factory=ConvergenceConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.students < 1 or self.episodes < 1:
            raise ValueError(f"students={self.students}, episodes={self.episodes}: expected 1 or more each.")


@dataclasses.dataclass(frozen=True)
class Arm:
    """One row of a table.

    Args:
        name: As in :func:`arm_names`.
        data: Gives student ``i`` its training data, from a generator of the student's own.
        budget: None trains to convergence.
    """

    name: str
    data: Callable[[np.random.Generator], TransitionArrays]
    budget: Budget | None


def arm_names(n_samples: int) -> list[str]:
    """Returns the names of all arms in the order of the tables."""
    return [
        "random-policy",
        "expert",
        *(f"bc-{p}" for p in PERCENTILES),
        "bc-100-converged",
        *(f"{kind}-{n_samples}" for kind in SMALL_KINDS),
    ]


def is_reserved(name: str) -> bool:
    """Tells whether a table may have an arm of this name by itself, whatever the size of its small sets."""
    kinds = ("bc", *SMALL_KINDS, TEACHERS_OF)
    return name == "expert" or name.startswith(tuple(f"{kind}-" for kind in kinds))


@dataclasses.dataclass(frozen=True)
class SmallSet:
    """A small dataset that makes an arm of its own.

    Args:
        samples: What its students are trained on.
        teachers: Whose soft labels the samples carry, where they do.
    """

    samples: TransitionArrays
    teachers: Teachers | None = None


def standard_arms(
    real: ReplayBuffer,
    initial: ReplayBuffer | None,
    distilled: ReplayBuffer,
    config: BenchmarkConfig,
    others: Mapping[str, SmallSet] | None = None,
) -> Sequence[Arm]:
    """Returns the arms that train students.

    A student of ``prior-N``, ``random-N`` and ``balanced-N`` has a subset of its own, so that these arms do not
    hang on one lucky draw; all students of ``init-N`` and ``distilled-N`` share theirs, being one dataset.

    Args:
        real: The dataset that was distilled.
        initial: What distillation started from; None leaves ``init-N`` out.
        distilled: The synthetic set, of N transitions.
        config: Budgets.
        others: Small datasets that make an arm each, by its name, with the synthetic set's budget. Beside one
            with soft labels, NAME, stands ``random-NAME``: as many random observations, a student's own, labelled
            by the same teachers.
    """
    n = distilled.transition_count

    def whole(buffer: ReplayBuffer) -> Callable[[np.random.Generator], TransitionArrays]:
        arrays = TransitionArrays.from_buffer(buffer)
        return lambda rng: arrays

    def percentile(p: int) -> Callable[[np.random.Generator], TransitionArrays]:
        return lambda rng: TransitionArrays.from_buffer(PercentileSelector(p).select(real, rng))

    def subset(
        selector: Selector,
    ) -> Callable[[np.random.Generator], TransitionArrays]:
        return lambda rng: TransitionArrays.from_buffer(selector.select(real, rng))

    return [
        *(Arm(f"bc-{p}", percentile(p), config.bc) for p in PERCENTILES),
        Arm("bc-100-converged", percentile(100), None),
        Arm(f"prior-{n}", subset(PriorSelector(n)), config.synthetic),
        Arm(f"random-{n}", subset(RandomSelector(n)), config.synthetic),
        Arm(f"balanced-{n}", subset(BalancedSelector(n)), config.synthetic),
        *([Arm(f"init-{n}", whole(initial), config.synthetic)] if initial is not None else []),
        Arm(f"distilled-{n}", whole(distilled), config.synthetic),
        *(arm for name, small in (others or {}).items() for arm in _small_arms(name, small, real, config)),
    ]


def _small_arms(name: str, small: SmallSet, real: ReplayBuffer, config: BenchmarkConfig) -> list[Arm]:
    teachers = small.teachers
    arm = Arm(name, lambda rng: small.samples, config.synthetic)
    if teachers is None:
        return [arm]

    def random(rng: np.random.Generator) -> TransitionArrays:
        drawn = TransitionArrays.from_buffer(RandomSelector(len(small.samples)).select(real, rng))
        return dataclasses.replace(drawn, probabilities=teachers.label(drawn.observations))

    return [Arm(f"random-{name}", random, config.synthetic), arm]
