"""Budgets on the command line, and what a dataset's task and a student give an evaluation where nothing is said."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

if TYPE_CHECKING:
    from d3rlpy_distill.evaluation import PartialBudget

__all__ = ["budget", "budget_options", "in_force"]

F = TypeVar("F", bound=Callable[..., Any])


def budget_options(f: F) -> F:
    """Adds ``--full-steps``, ``--full-batch``, ``--small-steps`` and ``--small-batch``, and their earlier names."""
    sizes = (("full", "bc", "real data"), ("small", "synthetic", "small sets"))
    parts = (("steps", "Steps"), ("batch", "Batch"))
    for size, earlier, on in reversed(sizes):
        for part, told in reversed(parts):
            names = (f"--{size}-{part}", f"--{earlier}-{part}", f"{size}_{part}")
            f = click.option(
                *names, type=click.IntRange(1), help=f"{told} on {on}.  [default: the student's own]"
            )(f)
    return f


def in_force(
    real: str | Path, values: Mapping[str, Any], students: Sequence[str] | None, splits: Sequence[str] | None
) -> dict[str, Any]:
    """Returns options of a command that evaluates: task, students, splits and, of one student, its budgets.

    Args:
        real: File of the real data.
        values: Of the command's options.
        students: That are asked for; None takes the task's own.
        splits: Likewise.
    """
    from d3rlpy_distill.catalogue import STUDENTS
    from d3rlpy_distill.evaluation import Protocol
    from d3rlpy_distill.pipeline import load, task_of

    played = task_of(load(real, task=values["task"]), values["task"])
    names = list(students or [played.default_student])
    found: dict[str, Any] = {
        "task": played.name,
        "student": names,
        "splits": list(splits or played.default_splits),
    }
    if len(names) == 1 and not values.get("tune"):  # several have budgets of their own, and so have tuned arms
        given = [budget(values[f"{kind}_steps"], values[f"{kind}_batch"]) for kind in ("full", "small")]
        budgets = Protocol(full=given[0], small=given[1]).budgets(STUDENTS.get(names[0])())
        for kind, one in zip(("full", "small"), budgets, strict=True):
            found |= {f"{kind}_steps": one.n_steps, f"{kind}_batch": one.batch_size}
    return found


def budget(steps: int | None, batch: int | None) -> PartialBudget | None:
    """Returns what was asked for of a budget; None if nothing was."""
    from d3rlpy_distill.evaluation import PartialBudget

    return None if steps is None and batch is None else PartialBudget(steps, batch)
