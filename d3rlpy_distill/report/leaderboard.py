"""All methods of one evaluation beside one another: equal size, equal budget or budgets tuned alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..evaluation.results import ArmResult, Results
from ..evaluation.scores import break_even
from .cells import return_cell
from .scores import SCORES, arm_standing, frames_cell, percent_cell, random_alike, score_cell, worth
from .table import Table
from .verdicts import FULL, budget, reference

__all__ = ["leaderboard_table"]

AROUND = ("expert", "full", "random-policy")
"""Kinds of the arms that a board stands between."""
BUDGET = "steps x batch"
ASIDE = ("distilled-actions", "ensemble")
"""Kinds that scores read, and that are no method."""


def leaderboard_table(results: Results, split: str) -> Table:
    """Returns a row for each set and coreset of the distilled sets' size, the highest mean return first.

    The expert, students of all data and the random policy stand among them. Break-even counts students; it is there
    where the results record the seconds that a distillation took.

    Args:
        results: An evaluation of one student.
        split: One of its splits.
    """
    every = [arm for name in results.names() if (arm := results.main(name, split)) is not None]
    sizes = {arm.about.size for arm in every if arm.about.kind == "distilled"}
    shown = [
        arm
        for arm in every
        if arm.about.kind in AROUND or (arm.about.size in sizes and arm.about.kind not in ASIDE)
    ]
    shown.sort(key=lambda arm: -arm.mean)
    first = next((arm for arm in shown if arm.about.student is not None), None)
    student = None if first is None else first.about.student
    small = budget(results, "small", student)
    title = [
        f"{results.title}, {results.splits[split]}",
        "" if first is None else f"{first.n_students} {student} students x {first.n_episodes} episodes",
        f"small sets {small}" if small else "",
        "sampled actions" if any(arm.mode == "sampled" for arm in shown) else "greedy actions",
    ]
    tuned = (BUDGET,) if results.tuning else ()
    columns = ("arm", "labels", "samples", *tuned, "return", "greedy return", *SCORES, "seconds to distil",
               "break-even, students")  # fmt: skip
    rows = [_row(results, arm, split) for arm in shown]
    least = ("break-even, students", "seconds to distil", BUDGET, "greedy return", *SCORES[:3])
    return Table(", ".join(text for text in title if text), columns, rows, least=least)


def _row(results: Results, arm: ArmResult, split: str) -> tuple[str, ...]:
    """A row; policies, students of all data, and random samples themselves have no scores."""
    greedy = results.get(arm.name, split, "greedy") if arm.mode != "greedy" else None
    best = results.tuning[arm.name].best if arm.name in results.tuning else None
    tuned = ("" if best is None else f"{best}",) if results.tuning else ()
    head = (
        arm.name,
        arm.about.labels if arm.about.student is not None else "",
        f"{arm.samples}" if arm.samples else "",
        *tuned,
        return_cell(arm),
        return_cell(greedy),
    )
    if arm.about.kind in AROUND or random_alike(results, arm) is arm or arm.n_students == 1:
        return (*head, *[""] * (len(SCORES) + 2))
    found, seconds = arm_standing(results, arm), _seconds(results.provenance, arm.name)
    full = reference(results, FULL, split, arm.about.student)
    students = (
        None if full is None or seconds is None else break_even(seconds, full.train_seconds, arm.train_seconds)
    )
    return (
        *head,
        score_cell(found.recovery),
        score_cell(found.improvement),
        percent_cell(found.robust),
        frames_cell(worth(results, arm), arm.about.size),
        "" if seconds is None else f"{seconds:.0f}",
        "" if students is None else f"{students}",
    )


def _seconds(provenance: Mapping[str, Any], name: str) -> float | None:
    """That a distillation took, where whoever evaluated it recorded them."""
    sets = provenance.get("distilled")
    about = sets.get(name) if isinstance(sets, Mapping) else None
    seconds = about.get("seconds") if isinstance(about, Mapping) else None
    return float(seconds) if isinstance(seconds, int | float) and not isinstance(seconds, bool) else None
