"""Bootstrap intervals of what tables and figures show: a mean, and a difference of two."""

from __future__ import annotations

import numpy as np

from ..evaluation.results import ArmResult
from ..evaluation.statistics import difference_interval

__all__ = ["difference", "mean_interval"]


def mean_interval(arm: ArmResult) -> tuple[float, float]:
    """Returns the 95% bootstrap interval of the mean over students, over episodes where there is one policy."""
    nothing = np.zeros((1, 1))  # of no spread: what is left is the interval of the mean itself
    _, low, high = difference_interval(arm.returns, nothing, np.random.default_rng(0))
    return low, high


def difference(arm: ArmResult, other: ArmResult | None) -> tuple[float, float, float] | None:
    """Returns the difference of the means and its 95% interval over students.

    None where there is nothing to compare: no such arm, a policy that nothing trains, or ``other`` itself.
    """
    if other is None or arm.about.student is None or arm.name == other.name:
        return None
    return difference_interval(arm.returns, other.returns, np.random.default_rng(0))
