"""The table algorithm x dataset: several students, each on the same data."""

from __future__ import annotations

from ..evaluation.ensemble import ENSEMBLE
from ..evaluation.results import ArmResult, Results
from .cells import return_cell
from .scores import random_alike
from .table import Table
from .verdicts import budget, gain

__all__ = ["algorithm_tables"]

BEST_ACTION = ("cql", "bcq", "dqn")
"""Students that have values and no policy to sample from: they play the best action in either mode."""

BUDGETS = ("real data, steps x batch", "small sets, steps x batch")


def algorithm_tables(results: Results) -> list[Table]:
    """Returns the tables of several students: one a split, a student a row, a dataset a column.

    A last table has what each student gains over random samples. Policies that nothing trains have a row each, with one
    figure. Where students have different budgets, the last
    columns say them.
    """
    datasets = list(dict.fromkeys(_dataset(arm) for arm in results.arms if arm.about.student is not None))
    budgets = {
        student: [budget(results, size, student) for size in ("full", "small")] for student in results.students
    }
    alike = len({tuple(each) for each in budgets.values()}) == 1
    columns = ("algorithm", *datasets, *(() if alike else BUDGETS))
    tables = []
    for split in results.splits:
        entries = [arm for name in results.names() if (arm := results.main(name, split)) is not None]
        rows = []
        for arm in entries:
            if arm.about.student is None:
                rows.append((arm.name, return_cell(arm), *[""] * (len(columns) - 2)))
        for student in results.students:
            own = {_dataset(arm): arm for arm in entries if arm.about.student == student}
            cells = [return_cell(own.get(dataset)) for dataset in datasets]
            rows.append((student, *cells, *([] if alike else budgets[student])))
        tables.append(Table(_title(results, split, alike), columns, rows, least=BUDGETS))
    gains = _gains(results)
    return tables if gains is None else [*tables, gains]


def _gains(results: Results) -> Table | None:
    """What each student gains by a set over as many random samples with labels of the same kind; None without any."""
    sets = list(dict.fromkeys(_dataset(arm) for arm in results.arms if arm.about.kind == "distilled"))
    rows = []
    for student in results.students:
        row = [student]
        for name in sets:
            for split in results.splits:
                arm = results.main(f"{student}-{name}", split)
                row.append("" if arm is None else gain(arm, random_alike(results, arm)))
        rows.append(tuple(row))
    if not any(cell for row in rows for cell in row[1:]):
        return None
    columns = ("algorithm", *(f"{name}, {results.splits[split]}" for name in sets for split in results.splits))
    title = f"Algorithms: {results.title}, gain over as many random samples with labels of the same kind [95%]"
    return Table(f"{title}, {_mode(results)}", columns, rows)


def _dataset(arm: ArmResult) -> str:
    """What stands above an arm's column: its name without its student's, which begins it, or that of its members."""
    own = f"{arm.about.student}-"
    if arm.about.kind == "ensemble":
        return ENSEMBLE + arm.name.removeprefix(ENSEMBLE).removeprefix(own)
    return arm.name.removeprefix(own)


def _title(results: Results, split: str, alike: bool) -> str:
    first = next(arm for arm in results.arms if arm.about.student is not None)
    real, small = (budget(results, size, first.about.student) if alike else "" for size in ("full", "small"))
    given = [
        f"Algorithms: {results.title}, {results.splits[split]}",
        f"{first.n_students} students x {first.n_episodes} episodes",
        f"real data {real}" if real else "",
        f"small sets {small}" if small else "",
        _mode(results),
    ]
    return ", ".join(text for text in given if text)


def _mode(results: Results) -> str:
    if all(arm.mode == "greedy" for arm in results.arms):
        return "greedy actions"
    best = [student for student in BEST_ACTION if student in results.students]
    names = " and ".join([*([", ".join(best[:-1])] if best[1:] else []), *best[-1:]])
    return "actions sampled" + (f" (best action for {names})" if best else "")
