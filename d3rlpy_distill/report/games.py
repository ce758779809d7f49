"""One arm over several tasks, beside random samples and everything."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ..errors import DistillError
from ..evaluation.results import ArmResult, Results
from .cells import return_cell
from .scores import SCORES, arm_standing, frames_cell, percent_cell, score_cell, worth
from .table import Table
from .verdicts import CONVERGED, FULL, as_good, budget, gain, random_arm, reference

__all__ = ["games_table"]

NOTE = "Scores are those of DD-Ranking, on a scale from the random policy (0) to the expert (1)."
FRAMES = "A frame is worth so many random ones with labels of the same kind."


def games_table(results: Sequence[Results], name: str) -> Table:
    """Returns a row for each task and split: the arm beside random samples, all data, and converged cloning of it.

    Its scores (:mod:`~..evaluation.scores`) have a column each where they can be told of some row.

    Random samples are random or balanced ones with their actions, whichever return more. All data and converged
    cloning have their columns where a task has that arm. So have students, where tasks have different ones.

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
    settings = {_setting(result, student) for result, student in zip(results, students, strict=True)}
    if len(settings) > 1:
        raise DistillError(
            f"the results have different budgets ({' and '.join(sorted(settings))}): compare files of one setting."
        )
    mixed, references = len(set(students)) > 1, _references(results, students)
    rows, scores = [], []
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
            scores.append(_scores(result, arm))
            rows.append(
                (
                    result.title,
                    where,
                    *((student or "",) if mixed else ()),
                    f"{arm.n_students} x {arm.n_episodes}",
                    return_cell(random) + named,
                    *map(return_cell, whole),
                    return_cell(arm),
                    gain(arm, random),
                    *(as_good(arm, one) for one in whole),
                )
            )
    heads = (
        "task",
        "split",
        *(("student",) if mixed else ()),
        "students x episodes",
        "random samples",
        *references.values(),
        name,
    )
    verdicts = [f"as good as {one}" for one in references.values()]
    small = budget(results[0], "small", students[0])
    told = ["mean return ± deviation over students", f"small sets {small}" if small else "", _mode(results)]
    title = f"{name}: {', '.join(text for text in told if text)}"
    told_of = [i for i, _ in enumerate(SCORES) if any(row[i] for row in scores)]
    shown = [SCORES[i] for i in told_of]
    least = ("students x episodes", *references.values(), *shown, *verdicts[::-1], "random samples")
    columns = (*heads, "gain over random [95%]", *verdicts, *shown)
    cells = [(*row, *(own[i] for i in told_of)) for row, own in zip(rows, scores, strict=True)]
    note = " ".join(text for text, own in ((NOTE, SCORES[:3]), (FRAMES, SCORES[3:])) if set(own) & set(shown))
    return Table(title, columns, cells, least=least, note=note)


def _setting(results: Results, student: str | None) -> str:
    """Of an arm's students: their budgets, and what was tried where these were tuned."""
    full, small = (budget(results, size, student) or "unknown" for size in ("full", "small"))
    tuning = results.protocol.get("tuning")
    tried = "" if tuning is None else f" over {json.dumps(tuning, sort_keys=True)}"
    return f"real data {full}, small sets {small}{tried}"


def _scores(results: Results, arm: ArmResult) -> tuple[str, ...]:
    """The cells of an arm's scores; students that are too few to draw anew have none."""
    if arm.about.student is None or arm.n_students == 1:
        return ("",) * len(SCORES)
    found = arm_standing(results, arm)
    frames = frames_cell(worth(results, arm), arm.about.size)
    return score_cell(found.recovery), score_cell(found.improvement), percent_cell(found.robust), frames


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
