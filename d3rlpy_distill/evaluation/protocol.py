"""How an evaluation is done."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..errors import SettingsError
from ..learners.convergence import ConvergenceConfig
from ..students.base import Budget, Student
from .tuning import Tuning

__all__ = ["PartialBudget", "Protocol"]


@dataclasses.dataclass(frozen=True)
class PartialBudget:
    """A budget that leaves to each student what it does not say.

    Args:
        n_steps: Gradient steps; None takes the student's own number.
        batch_size: Samples a step; None likewise.
    """

    n_steps: int | None = None
    batch_size: int | None = None

    def of(self, own: Budget) -> Budget:
        """Returns the budget of a student."""
        return Budget(self.n_steps or own.n_steps, self.batch_size or own.batch_size)


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How an evaluation is done; equal protocols give equal results on one machine.

    Args:
        students: Students an arm.
        episodes: Episodes each, on each split and in each mode.
        full: Budget of the students on real data; None takes each student's own.
        small: Budget of the students on as many samples as a distilled set has; None likewise.
        convergence: How the arm that trains to convergence does so.
        seed: Fixes subsets, students, starts and action sampling.
        tuning: Chooses each arm's budget on validation starts, in the place of ``full`` and ``small``, of which no
            more than the batch on real data can be given, that of training to convergence. None tunes nothing.
        ensembles: Also play the students of each arm as one policy, see :mod:`.ensemble`.
    """

    students: int = 10
    episodes: int = 100
    full: Budget | PartialBudget | None = None
    small: Budget | PartialBudget | None = None
    convergence: ConvergenceConfig = dataclasses.field(default_factory=ConvergenceConfig)
    seed: int = 0
    tuning: Tuning | None = None
    ensembles: bool = False

    def __post_init__(self) -> None:
        if self.students < 1 or self.episodes < 1:
            raise SettingsError(f"students={self.students}, episodes={self.episodes}: expected 1 or more each.")
        if self.tuning is not None and (self.small is not None or _steps(self.full) is not None):
            raise SettingsError(
                "tuning (--tune) chooses every arm's budget: leave the steps on real data and the budget on small sets "
                "out (--full-steps, --small-steps, --small-batch), or do not tune."
            )

    def budgets(self, student: Student) -> tuple[Budget, Budget]:
        """Returns a student's budgets on real data and on small sets."""
        return _of(self.full, student.full), _of(self.small, student.small)

    def to_json(self, students: dict[str, Student]) -> dict[str, Any]:
        """Returns JSON values, the budgets of these students among them."""
        budgets = {}
        for name, student in students.items():
            full, small = self.budgets(student)
            budgets[name] = {"full": dataclasses.asdict(full), "small": dataclasses.asdict(small)}
        return {
            "students": self.students,
            "episodes": self.episodes,
            "budgets": budgets,
            "convergence": dataclasses.asdict(self.convergence),
            "seed": self.seed,
            # only where there is some: a directory of an earlier version is gone on with
            **({} if self.tuning is None else {"tuning": self.tuning.to_json()}),
            **({"ensembles": True} if self.ensembles else {}),
        }


def _steps(given: Budget | PartialBudget | None) -> int | None:
    return None if given is None else given.n_steps


def _of(given: Budget | PartialBudget | None, own: Budget) -> Budget:
    if given is None:
        return own
    return given.of(own) if isinstance(given, PartialBudget) else given
