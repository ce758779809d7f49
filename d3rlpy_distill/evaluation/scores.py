r"""Scores of a distilled set beside its returns: those of DD-Ranking, what its samples are worth, when it pays.

DD-Ranking (Li et al., arXiv 2505.13300) scores accuracies, 0 to 1. Ours are returns on the scale of
:func:`on_scale`: the random policy has 0, the expert 1.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from .statistics import N_BOOTSTRAP, student_scores

__all__ = [
    "Score",
    "Standing",
    "augmentation_robust",
    "break_even",
    "frames_worth",
    "isotonic",
    "label_robust",
    "on_scale",
    "robust_score",
    "standing",
]

Returns = npt.NDArray[np.floating[Any]]
Numbers = npt.NDArray[np.float64]
OneOrMany = TypeVar("OneOrMany", float, Numbers)

WEIGHT = 0.5
"""Of the improvement over random beside the hard-label recovery, as on DD-Ranking's leaderboard."""


@dataclasses.dataclass(frozen=True)
class Score:
    """A score and its 95% bootstrap interval over students.

    Args:
        value: The score.
        low: Lower end.
        high: Upper end.
    """

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Standing:
    """The scores of DD-Ranking for one set; None where an arm is missing that they need.

    Args:
        recovery: Hard-label recovery, HLR: all data with actions minus the set with its actions. Low is good.
        improvement: Improvement over random, IOR: the set minus as many random frames with labels of the same kind.
        robust: Label-robust score of the two, in percent.
    """

    recovery: Score | None
    improvement: Score | None
    robust: Score | None


def on_scale(returns: OneOrMany, floor: float, ceiling: float) -> OneOrMany:
    """Maps returns to a scale on which the random policy has 0 and the expert 1; it is not clipped.

    Args:
        returns: Returns.
        floor: Mean return of the random policy.
        ceiling: Mean return of the expert.

    Raises:
        ValueError: If the expert is not above the random policy.
    """
    if not ceiling > floor:
        raise ValueError(
            f"the expert returns {ceiling}, the random policy {floor}: there is no scale between them."
        )
    return (returns - floor) / (ceiling - floor)


def robust_score(alpha: OneOrMany) -> OneOrMany:
    r"""Returns DD-Ranking's score of a weighted sum, in percent.

    .. math::

        100 \frac{e^\alpha - e^{-1}}{e - e^{-1}}

    0 for a sum of -1, 26.9 for 0, 100 for 1.
    """
    found: OneOrMany = 100 * (np.exp(alpha) - math.exp(-1)) / (math.e - math.exp(-1))
    return found


def label_robust(improvement: OneOrMany, recovery: OneOrMany, weight: float = WEIGHT) -> OneOrMany:
    r"""Returns the label-robust score, LRS, in percent: that of :math:`\alpha = w\,IOR - (1 - w)\,HLR`.

    Args:
        improvement: Improvement over random, IOR, on the scale of :func:`on_scale`.
        recovery: Hard-label recovery, HLR, on the same scale.
        weight: w, 0 to 1.
    """
    return robust_score(weight * improvement - (1 - weight) * recovery)


def augmentation_robust(augmented: OneOrMany, plain: OneOrMany, weight: float = WEIGHT) -> OneOrMany:
    r"""Returns the augmentation-robust score, ARS, in percent: that of :math:`\gamma I_{aug} + (1 - \gamma) I_{plain}`.

    Args:
        augmented: Improvement over random, on the scale of :func:`on_scale`, of students that augment their data.
        plain: Of students that do not.
        weight: gamma, 0 to 1.
    """
    return robust_score(weight * augmented + (1 - weight) * plain)


def standing(
    own: Returns,
    random: Returns | None,
    with_actions: Returns | None,
    all_data: Returns | None,
    *,
    floor: float,
    ceiling: float,
    rng: np.random.Generator,
) -> Standing:
    """Returns the scores of a set, on the scale between the random policy and the expert.

    The students of each arm are drawn anew, independently of those of the others; an array that is given twice, as a
    set that has actions only is, is drawn once. The ends of the scale are taken as they are.

    Args:
        own: Returns of students of the set, ``(S, K)``.
        random: Of students of as many random samples with labels of the same kind; None where there are none.
        with_actions: Of students of the set with its actions as labels; ``own`` where it has no others.
        all_data: Of students of all data with actions.
        floor: Mean return of the random policy.
        ceiling: Mean return of the expert.
        rng: Draws the bootstrap samples.
    """
    drawn: dict[int, Numbers] = {}

    def means(returns: Returns) -> Numbers:
        """The mean, and those of students drawn anew: ``(1 + B,)``."""
        if id(returns) not in drawn:
            drawn[id(returns)] = _means(returns, rng)
        return drawn[id(returns)]

    def difference(a: Returns | None, b: Returns | None) -> Numbers | None:
        if a is None or b is None:
            return None
        return on_scale(means(a), floor, ceiling) - on_scale(means(b), floor, ceiling)

    recovery, improvement = difference(all_data, with_actions), difference(own, random)
    robust = None if recovery is None or improvement is None else label_robust(improvement, recovery)
    return Standing(*(None if one is None else _score(one) for one in (recovery, improvement, robust)))


def frames_worth(
    own: Returns, size: int, curve: Sequence[tuple[int, Returns]], rng: np.random.Generator
) -> Score | None:
    """Returns how many random frames return what one sample of a set does.

    That is the number of random frames whose students return as much as those of the set, over the set's own number.
    Between the sizes that were measured, the return of random frames is linear in the logarithm of their number;
    it is made to rise with it (isotonic regression), since what falls is noise.

    Args:
        own: Returns of students of the set, ``(S, K)``.
        size: Its samples.
        curve: Sizes of random sets, and the returns of their students, ``(S', K')``.
        rng: Draws students anew, those of each arm independently.

    Returns:
        The ratio. Where the set returns more than all of the curve it is infinite, where it returns less, 0: what was
        measured does not reach that far. So are the ends of the interval. None with fewer than two sizes.
    """
    sizes = sorted({n for n, _ in curve})
    if len(sizes) < 2:
        return None
    by_size = dict(curve)
    points = np.stack([_means(by_size[n], rng) for n in sizes], 1)
    wanted = _means(own, rng)
    logs = np.log(sizes)
    found = np.array([_crossing(logs, isotonic(row), mean) for row, mean in zip(points, wanted, strict=True)])
    return _score(found / size)


def isotonic(values: Numbers) -> Numbers:
    """Returns the rising sequence that is nearest in squares (pool adjacent violators), ``(N,)``."""
    blocks: list[tuple[float, int]] = []
    for value in values:
        mean, count = float(value), 1
        while blocks and blocks[-1][0] > mean:
            before, n = blocks.pop()
            mean, count = (before * n + mean * count) / (n + count), n + count
        blocks.append((mean, count))
    return np.repeat([mean for mean, _ in blocks], [count for _, count in blocks])


def break_even(seconds: float, all_data: float, small: float) -> int | None:
    """Returns the number of students from which distilling takes less time than training them all on everything.

    Args:
        seconds: That the distillation took.
        all_data: That a student of all data takes.
        small: That a student of the set takes.

    Returns:
        The smallest number whose savings cover the distillation; None where nothing is saved, or a time is unknown.
    """
    saved = all_data - small
    return math.ceil(seconds / saved) if saved > 0 and math.isfinite(seconds) else None


def _crossing(logs: Numbers, rising: Numbers, wanted: float) -> float:
    """Where a rising curve reaches a value: 0 before its begin, infinity beyond its end."""
    after = int(np.searchsorted(rising, wanted))
    if after == 0:
        return math.exp(logs[0]) if wanted == rising[0] else 0.0
    if after == len(rising):
        return math.inf
    share = (wanted - rising[after - 1]) / (rising[after] - rising[after - 1])
    return math.exp(logs[after - 1] + share * (logs[after] - logs[after - 1]))


def _means(returns: Returns, rng: np.random.Generator) -> Numbers:
    """The mean over students, and those of students drawn anew: ``(1 + B,)``."""
    scores = student_scores(returns)
    return np.concatenate([[scores.mean()], rng.choice(scores, (N_BOOTSTRAP, len(scores))).mean(1)])


def _score(values: Numbers) -> Score:
    """The first value, with the interval of the others; infinite ones are compared, never added."""
    low, high = np.quantile(values[1:], (0.025, 0.975), method="inverted_cdf")
    return Score(float(values[0]), float(low), float(high))
