"""The scores of a distilled arm: the arms that they need, found by what they are, and the cells that show them."""

from __future__ import annotations

import math

import numpy as np

from ..evaluation.results import ArmResult, Results
from ..evaluation.scores import Score, Standing, frames_worth, standing
from .verdicts import FULL, reference

__all__ = ["SCORES", "arm_standing", "frames_cell", "percent_cell", "random_alike", "score_cell", "worth"]

SCORES = (
    "hard-label recovery [95%]",
    "improvement over random [95%]",
    "label-robust score [95%]",
    "a frame is worth [95%]",
)
"""Headings of the columns."""
EXPERT, RANDOM_POLICY = "expert", "random-policy"


def random_alike(results: Results, arm: ArmResult, *, size: int | None = None) -> ArmResult | None:
    """Returns the arm of random samples with labels of the same kind, for the same student, on the same split.

    Labels that are soft have to be of the same teachers.

    Args:
        results: The results.
        arm: Of a distilled set.
        size: Samples; None takes as many as the set has.
    """
    wanted = arm.about.size if size is None else size
    for name in results.find(["random"], labels=arm.about.labels, student=arm.about.student):
        about = results.about(name)
        if about.size == wanted and _same_teachers(results, name, arm):
            return results.get(name, arm.split, arm.mode)
    return None


def arm_standing(results: Results, arm: ArmResult) -> Standing:
    """Returns the scores of DD-Ranking for a distilled arm; what cannot be told is None.

    The scale is from the random policy to the expert on the arm's split, as tables show them.
    """
    floor, ceiling = (_policy(results, kind, arm.split) for kind in (RANDOM_POLICY, EXPERT))
    if floor is None or ceiling is None or not ceiling.mean > floor.mean:
        return Standing(None, None, None)
    random, full = random_alike(results, arm), reference(results, FULL, arm.split, arm.about.student)
    if full is not None:
        full = results.get(full.name, arm.split, arm.mode)
    hard = arm if arm.about.labels == "actions" else _with_actions(results, arm)
    return standing(
        arm.returns,
        None if random is None else random.returns,
        None if hard is None else hard.returns,
        None if full is None else full.returns,
        floor=floor.mean,
        ceiling=ceiling.mean,
        rng=np.random.default_rng(0),
    )


def worth(results: Results, arm: ArmResult) -> tuple[Score, int, int] | None:
    """Returns how many random frames a sample of the arm's set is worth, and the sizes that the answer lies between.

    None where random samples of fewer than two sizes have labels of the same kind.
    """
    if arm.about.size is None:
        return None
    curve = [
        (about.size, entry.returns)
        for name in results.find(["random"], labels=arm.about.labels, student=arm.about.student)
        if (about := results.about(name)).size is not None
        and _same_teachers(results, name, arm)
        and (entry := results.get(name, arm.split, arm.mode)) is not None
    ]
    found = frames_worth(arm.returns, arm.about.size, curve, np.random.default_rng(0))
    sizes = [size for size, _ in curve]
    return None if found is None else (found, min(sizes), max(sizes))


def score_cell(score: Score | None) -> str:
    """Returns a score with its interval, ``"+0.12 [+0.03, +0.20]"``; "" for None."""
    return "" if score is None else f"{score.value:+.2f} [{score.low:+.2f}, {score.high:+.2f}]"


def percent_cell(score: Score | None) -> str:
    """Returns a score in percent with its interval, ``"27.4 [25.1, 29.8]"``; "" for None."""
    return "" if score is None else f"{score.value:.1f} [{score.low:.1f}, {score.high:.1f}]"


def frames_cell(found: tuple[Score, int, int] | None, size: int | None) -> str:
    """Returns what a frame is worth, ``"4.1 [2.0, >10.0]"``, where 10 is the last that was measured; "" for None."""
    if found is None or not size:
        return ""
    score, smallest, largest = found

    def told(ratio: float) -> str:
        if math.isinf(ratio):
            return f">{largest / size:.1f}"
        return f"{ratio:.1f}" if ratio else f"<{smallest / size:.1f}"

    return f"{told(score.value)} [{told(score.low)}, {told(score.high)}]"


def _same_teachers(results: Results, name: str, arm: ArmResult) -> bool:
    """Whether an arm's soft labels are of the set's teachers; earlier results say of which set it stands beside."""
    about = results.about(name)
    if arm.about.labels == "actions":
        return True
    if arm.about.teachers is None:
        return about.of in _names(arm)
    return about.teachers == arm.about.teachers


def _names(arm: ArmResult) -> tuple[str, str]:
    """What an arm that stands beside a set may call it: of several students, each has the set's name after its own."""
    return arm.name, arm.name.removeprefix(f"{arm.about.student}-")


def _with_actions(results: Results, arm: ArmResult) -> ArmResult | None:
    for name in results.find(["distilled-actions"], student=arm.about.student):
        if results.about(name).of in _names(arm):
            return results.get(name, arm.split, arm.mode)
    return None


def _policy(results: Results, kind: str, split: str) -> ArmResult | None:
    names = results.find([kind])
    return results.main(names[0], split) if names else None
