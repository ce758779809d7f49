"""One arm over several tasks, beside random samples and everything."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import DistillError
from ..evaluation.results import Results
from .cells import return_cell
from .table import Table
from .verdicts import CONVERGED, FULL, as_good, budget, gain, random_arm, reference

__all__ = ["games_table"]


def games_table(results: Sequence[Results], name: str) -> Table:
    """Returns a row for each task and split: the arm beside random samples, all data, and converged cloning of it.

    Random samples are random or balanced ones with their actions, whichever return more. All data and converged
    cloning have their columns where a task has that arm.

    Args:
        results: One for each task, of one budget.
        name: The arm, for example ``"soft-150"``.

    Raises:
        DistillError: If a task has no such arm, or budgets differ.
    """
    for result in results:
        if name not in result.names():
            known = ", ".join(result.names())
            raise DistillError(f"{result.title} has no arm {name!r}: expected one of {known}.")
    students = [result.about(name).student for result in results]
    budgets = {budget(result, "small", student) for result, student in zip(results, students, strict=True)}
    if len(budgets) > 1:
        given = " and ".join(sorted(f"small sets {each or 'unknown'}" for each in budgets))
        raise DistillError(f"the results have different budgets ({given}): compare files of one budget.")
    references = _references(results, students)
    rows = []
    for result, student in zip(results, students, strict=True):
        for split, where in result.splits.items():
            arm = result.main(name, split)
            if arm is None:
                raise DistillError(
                    f"{result.title} has no returns of {name!r} on {where}: evaluate that arm anew."
                )
            random = random_arm(result, split, student)
            whole = [reference(result, kind, split, student) for kind in references]
            named = f" ({random.name})" if random is not None else ""
            rows.append(
                (
                    result.title,
                    where,
                    f"{arm.n_students} x {arm.n_episodes}",
                    return_cell(random) + named,
                    *map(return_cell, whole),
                    return_cell(arm),
                    gain(arm, random),
                    *(as_good(arm, one) for one in whole),
                )
            )
    heads = ("task", "split", "students x episodes", "random samples", *references.values(), name)
    verdicts = [f"as good as {one}" for one in references.values()]
    small = budgets.pop()
    told = ["mean return ± deviation over students", f"small sets {small}" if small else "", _mode(results)]
    title = f"{name}: {', '.join(text for text in told if text)}"
    least = ("students x episodes", *references.values(), *verdicts[::-1], "random samples")
    return Table(title, (*heads, "gain over random [95%]", *verdicts), rows, least=least)


def _references(results: Sequence[Results], students: Sequence[str | None]) -> dict[str, str]:
    """The kinds of arms with all data that some task has, each with the name of the first."""
    found: dict[str, str] = {}
    for kind in (FULL, CONVERGED):
        for result, student in zip(results, students, strict=True):
            for arm in result.find([kind], student=student):
                found.setdefault(kind, arm)
    return found


def _mode(results: Sequence[Results]) -> str:
    modes = {any(arm.mode == "sampled" for arm in result.arms) for result in results}
    told = {True: "actions sampled", False: "greedy actions"}
    return told[modes.pop()] if len(modes) == 1 else "actions sampled, greedy where they are continuous"
