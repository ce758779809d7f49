"""Budgets tuned for every arm alike, on validation starts, from a small grid (DD-Ranking, arXiv 2505.13300)."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..data import OfflineDataset
from ..errors import SettingsError
from ..students.base import Budget, Student
from ..tasks.base import Task

__all__ = ["GRIDS", "VALIDATION", "Trial", "Tuned", "Tuning", "grid_of"]

VALIDATION = "validation"
"""The split on which budgets are chosen, and nothing else is claimed."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """A budget to try.

    Args:
        budget: Steps and batch size.
        learning_rate: None takes the student's own.
    """

    budget: Budget
    learning_rate: float | None = None

    def __str__(self) -> str:
        rate = "" if self.learning_rate is None else f" at {self.learning_rate:g}"
        return f"{self.budget}{rate}"

    @property
    def key(self) -> str:
        """Its name in files."""
        rate = "own" if self.learning_rate is None else f"{self.learning_rate:g}"
        return f"{self.budget.n_steps}x{self.budget.batch_size}-{rate}"

    def to_json(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {**dataclasses.asdict(self.budget), "learning_rate": self.learning_rate}


@dataclasses.dataclass(frozen=True)
class Tuning:
    """How budgets are tuned: every arm tries every budget at every learning rate, and keeps what returned most.

    Args:
        budgets: What is tried.
        learning_rates: Each of them; none tries the student's own.
        students: Students of each trial, of other seeds than those that are evaluated.
        episodes: Episodes each, on validation starts, in the first of the task's modes.
    """

    budgets: tuple[Budget, ...]
    learning_rates: tuple[float, ...] = ()
    students: int = 3
    episodes: int = 50

    def __post_init__(self) -> None:
        rates = all(rate > 0 and math.isfinite(rate) for rate in self.learning_rates)
        if not self.budgets or min(self.students, self.episodes) < 1 or not rates:
            raise SettingsError(
                f"tuning over {len(self.budgets)} budgets, learning rates {list(self.learning_rates)}, "
                f"students={self.students}, episodes={self.episodes}: expected one budget or more, learning rates "
                "above 0, and 1 or more of the others."
            )
        if len(set(self.trials)) < len(self.trials):
            raise SettingsError("tuning tries one budget twice: name each once.")

    @property
    def trials(self) -> tuple[Trial, ...]:
        """What is tried, in the order of the grid."""
        rates = self.learning_rates or (None,)
        return tuple(Trial(*pair) for pair in itertools.product(self.budgets, rates))

    def to_json(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {
            "budgets": [dataclasses.asdict(budget) for budget in self.budgets],
            "learning_rates": list(self.learning_rates),
            "students": self.students,
            "episodes": self.episodes,
            "split": VALIDATION,
        }

    def check(self, task: Task, dataset: OfflineDataset, students: Mapping[str, Student]) -> None:
        """Refuses tasks without validation starts, and learning rates for students that have not just one.

        Raises:
            SettingsError: Naming which.
        """
        if VALIDATION not in task.splits:
            raise SettingsError(
                f"budgets are tuned on validation starts: {task.name} has {', '.join(task.splits)}."
            )
        for name, student in students.items() if self.learning_rates else ():
            if not hasattr(student.learner(dataset, self.budgets[0]), "learning_rate"):
                raise SettingsError(f"the student {name} has no single learning rate: tune its budgets alone.")


GRIDS: Mapping[str, Tuning] = {
    "strong": Tuning((Budget(300, 64), Budget(1000, 64), Budget(3000, 64), Budget(3000, 256)), (5e-4, 1e-3)),
}
"""Grids by name: ``strong`` is for ``impala-s2d`` students, from their budget on small sets to that on all data."""


def grid_of(names: Sequence[str]) -> Tuning:
    """Returns the grid of a name in :data:`GRIDS`, or one of budgets, each written as steps x batch: ``300x64``.

    Raises:
        SettingsError: If they are neither, or one is named twice.
    """
    if len(names) == 1 and names[0] in GRIDS:
        return GRIDS[names[0]]
    pairs = [re.fullmatch(r"(\d+)x(\d+)", name) for name in names]
    if not all(pairs):
        raise SettingsError(
            f"{','.join(names)}: expected {' or '.join(GRIDS)}, or steps x batch, for example 300x64,1000x64."
        )
    return Tuning(tuple(Budget(int(one[1]), int(one[2])) for one in pairs if one))


@dataclasses.dataclass(frozen=True)
class Tuned:
    """What the trials of an arm returned.

    Args:
        trials: What was tried.
        scores: The mean return of each trial's students, ``(T, S)``.
    """

    trials: Sequence[Trial]
    scores: Sequence[Sequence[float]]

    @property
    def best(self) -> Trial:
        """The trial of the highest mean over its students; of equal ones the first."""
        return self.trials[int(np.argmax([np.mean(one) for one in self.scores]))]

    def to_json(self) -> dict[str, Any]:
        """Returns JSON values."""
        tried = [
            {**trial.to_json(), "scores": list(scores)}
            for trial, scores in zip(self.trials, self.scores, strict=True)
        ]
        return {"chosen": self.best.to_json(), "tried": tried}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Tuned:
        """Inverse of :meth:`to_json`.

        Raises:
            KeyError, SettingsError, TypeError, ValueError: If the value is something else.
        """
        trials, scores = [], []
        for one in value["tried"]:
            rate = one["learning_rate"]
            budget = Budget(int(one["n_steps"]), int(one["batch_size"]))
            trials.append(Trial(budget, None if rate is None else float(rate)))
            scores.append([float(score) for score in one["scores"]])
        if not trials or not all(scores) or len({len(one) for one in scores}) > 1:
            raise ValueError("tuning without scores")
        tuned = cls(trials, scores)
        if value["chosen"] != tuned.best.to_json():
            raise ValueError(f"tuning chose {value['chosen']}, and {tuned.best} returned most")
        return tuned
