"""Results as tidy records: one for each arm, split and mode of playing, its numbers as numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeAlias

from ..evaluation.results import ArmResult, Results
from ..evaluation.scores import Score, Standing
from .contents import Report
from .intervals import difference, mean_interval
from .scores import arm_standing, worth
from .verdicts import CONVERGED, FULL, as_good, random_arm, reference

__all__ = ["Record", "build_records"]

Record: TypeAlias = "dict[str, str | int | float | None]"
"""A value by the name of its column; None where there is nothing to say."""


def build_records(report: Report) -> list[Record]:
    """Returns the records of a report, all with the same columns.

    ``mean_low`` to ``mean_high`` is the 95% bootstrap interval of the mean, ``iqm_low`` to ``iqm_high`` that of the
    interquartile mean, ``gain_low`` to ``gain_high`` that of the gain, which is over the mean of the arm ``gain_over``.
    Gains, verdicts and scores (:mod:`~..evaluation.scores`) are of the mode that tables show first; scores are there
    for distilled arms of several students. ``frames_worth`` is empty where it is beyond what was measured.
    ``method``, ``distillation_seed`` and ``distillation_seconds`` are there where the report is of a sweep.

    Raises:
        DistillError: If an arm is to be compared that an evaluation has not.
    """
    records = []
    if report.compared is not None:
        _ = report.tables  # refuses what cannot be compared
    for one in report.evaluations:
        arms = list(one.arms) if report.compared is None else list(_compared(one, report.compared))
        records += [_record(one, arm) for arm in arms]
    if report.cells:
        nothing: Record = {"method": None, "distillation_seed": None, "distillation_seconds": None}
        records = [{**record, **nothing} for record in records]
    for cell in report.cells:
        known = cell.seconds if math.isfinite(cell.seconds) else None
        made: Record = {
            "method": cell.method,
            "distillation_seed": cell.seed,
            "distillation_seconds": known,
        }
        records += [{**_record(cell.results, arm), **made} for arm in cell.results.arms]
    return records


def _compared(results: Results, name: str) -> Iterable[ArmResult]:
    """An arm and what the tables compare it with."""
    student = results.about(name).student
    for arm in results.arms:
        beside = [reference(results, kind, arm.split, student) for kind in (FULL, CONVERGED)]
        beside.append(random_arm(results, arm.split, student))
        if arm.name in {name, *(other.name for other in beside if other is not None)}:
            yield arm


def _record(results: Results, arm: ArmResult) -> Record:
    about = arm.about
    low, high = mean_interval(arm)
    record: Record = {
        "task": results.task,
        "student": about.student,
        "arm": arm.name,
        "kind": about.kind,
        "labels": about.labels,
        "size": about.size,
        "split": arm.split,
        "mode": arm.mode,
        "students": arm.n_students,
        "episodes": arm.n_episodes,
        "mean": arm.mean,
        "std": arm.std,
        "mean_low": low,
        "mean_high": high,
        "iqm": arm.iqm,
        "iqm_low": arm.ci95[0],
        "iqm_high": arm.ci95[1],
        "normalised": arm.normalised,
    }
    main = arm is results.main(arm.name, arm.split)
    random = random_arm(results, arm.split, about.student) if main else None
    full = reference(results, FULL, arm.split, about.student) if main else None
    gain = difference(arm, random)
    alone = random is None or min(arm.n_students, random.n_students) == 1
    record["gain"] = None if gain is None else gain[0]
    record["gain_low"] = None if gain is None or alone else gain[1]
    record["gain_high"] = None if gain is None or alone else gain[2]
    record["gain_over"] = None if gain is None or random is None else random.name
    record["as_good_as_all_data"] = as_good(arm, full) or None
    record |= _scores(results, arm, main)
    record["samples"] = arm.samples or None
    record["bytes"] = arm.bytes or None
    record["train_seconds"] = arm.train_seconds if arm.samples else None
    return record


def _scores(results: Results, arm: ArmResult, main: bool) -> Record:
    """The scores of a distilled arm, each with its interval."""
    told = main and arm.about.kind == "distilled" and arm.n_students > 1
    found = arm_standing(results, arm) if told else Standing(None, None, None)
    frames = worth(results, arm) if told else None
    scores = {
        "hard_label_recovery": found.recovery,
        "improvement_over_random": found.improvement,
        "label_robust_score": found.robust,
        "frames_worth": None if frames is None else frames[0],
    }
    record: Record = {}
    for name, score in scores.items():
        for suffix, value in zip(("", "_low", "_high"), _numbers(score), strict=True):
            record[f"{name}{suffix}"] = value
    return record


def _numbers(score: Score | None) -> tuple[float | None, float | None, float | None]:
    """A score and the ends of its interval, as JSON has them: without infinity."""
    if score is None:
        return None, None, None
    low, value, high = (one if math.isfinite(one) else None for one in (score.low, score.value, score.high))
    return value, low, high
