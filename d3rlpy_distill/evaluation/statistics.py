"""Summaries of returns over students: mean, deviation, interquartile mean and bootstrap intervals."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["N_BOOTSTRAP", "Summary", "difference_interval", "interquartile_mean", "student_scores", "summarise"]

N_BOOTSTRAP = 10_000


@dataclasses.dataclass(frozen=True)
class Summary:
    """Summary of a matrix of returns.

    The unit of replication is the student: its score is the mean of its episodes. Where there is only one
    policy (the expert, the random policy), each of its episodes counts as a unit.

    Args:
        mean: Mean of the units' scores.
        std: Their standard deviation (``ddof=1``; 0 for a single unit).
        iqm: Mean of the middle half of the scores.
        ci95: Percentile bootstrap interval of the interquartile mean.
    """

    mean: float
    std: float
    iqm: float
    ci95: tuple[float, float]


def student_scores(returns: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Returns the units of replication: the mean return of each student, ``(S,)``; of one policy, its episodes.

    Args:
        returns: ``(S, K)``.

    Raises:
        ValueError: If there are none, or some are NaN or infinite.
    """
    if returns.ndim != 2 or returns.size == 0:
        raise ValueError(f"returns of shape {returns.shape}: expected (students, episodes), not empty.")
    if not np.isfinite(returns).all():
        raise ValueError("returns hold NaN or infinite values.")
    scores: npt.NDArray[np.float64] = (returns[0] if len(returns) == 1 else returns.mean(1)).astype(np.float64)
    return scores


def interquartile_mean(scores: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Returns the mean of the scores left when a quarter is cut off at either end, along the last axis.

    As many whole scores are cut off as fit into a quarter (``floor(n / 4)``), which is what
    ``scipy.stats.trim_mean(x, 0.25)`` and rliable compute (Agarwal et al. 2021).
    """
    ordered = np.sort(scores, axis=-1)
    n = ordered.shape[-1]
    cut = n // 4
    middle: npt.NDArray[np.float64] = ordered[..., cut : n - cut].mean(-1)
    return middle


def summarise(returns: npt.NDArray[np.floating[Any]], rng: np.random.Generator) -> Summary:
    """Summarises returns ``(S, K)`` of S students over K episodes each.

    Args:
        returns: ``(S, K)``.
        rng: Draws the bootstrap samples.
    """
    scores = student_scores(returns)
    resampled = rng.choice(scores, (N_BOOTSTRAP, len(scores)))
    low, high = np.quantile(interquartile_mean(resampled), (0.025, 0.975))
    return Summary(
        mean=float(scores.mean()),
        std=float(scores.std(ddof=1)) if len(scores) > 1 else 0.0,
        iqm=float(interquartile_mean(scores)),
        ci95=(float(low), float(high)),
    )


def difference_interval(
    returns: npt.NDArray[np.floating[Any]],
    baseline: npt.NDArray[np.floating[Any]],
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """Returns the difference of two arms' mean scores and its 95% bootstrap interval.

    Students of the two arms are resampled independently.

    Args:
        returns: ``(S, K)``.
        baseline: ``(S', K')``.
        rng: Draws the bootstrap samples.

    Returns:
        Difference, lower end, upper end.
    """
    a, b = student_scores(returns), student_scores(baseline)
    drawn = rng.choice(a, (N_BOOTSTRAP, len(a))).mean(1) - rng.choice(b, (N_BOOTSTRAP, len(b))).mean(1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(a.mean() - b.mean()), float(low), float(high)
