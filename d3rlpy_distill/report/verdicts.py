"""What a table says of an arm beside the two that it is measured by: random samples, and everything."""

from __future__ import annotations

import re

import numpy as np

from ..evaluation.results import ArmResult, Results
from ..evaluation.statistics import difference_interval

__all__ = ["CONVERGED", "FULL", "as_good", "budget", "gain", "random_arm"]

FULL = "bc-100"
CONVERGED = "bc-100-converged"
MARGIN = 0.05  # of full BC's mean return


def random_arm(results: Results, split: str) -> ArmResult | None:
    """Returns the arm ``random-N`` or ``balanced-N`` of the higher mean return, actions sampled, or None.

    The better of the two on this very split: the choice favours the baseline, never the arm beside it.
    """
    names = [name for name in results.names() if re.fullmatch(r"(random|balanced)-\d+", name)]
    arms = [results.get(name, split, "sampled") for name in names]
    return max((arm for arm in arms if arm is not None), key=lambda arm: arm.mean, default=None)


def gain(arm: ArmResult, random: ArmResult | None) -> str:
    """Returns the difference of the means with its 95% interval; "" where there is nothing to compare."""
    if random is None or arm.n_students == 1 or arm.name == random.name:
        return ""
    value, low, high = difference_interval(
        np.array(arm.returns), np.array(random.returns), np.random.default_rng(0)
    )
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def as_good(arm: ArmResult, full: ArmResult | None) -> str:
    """Returns "yes" where the 95% interval of the difference lies above -5% of ``full``'s mean, else "no".

    "" where there is nothing to compare: no such arm, one policy instead of students, or ``full`` itself.
    """
    if full is None or arm.n_students == 1 or arm.name == full.name:
        return ""
    _, low, _ = difference_interval(np.array(arm.returns), np.array(full.returns), np.random.default_rng(0))
    return "yes" if low > -MARGIN * abs(full.mean) else "no"


def budget(results: Results) -> str:
    """Returns what small sets were trained with, for a title: ``"small sets 100 x 15"``, or ""."""
    given = results.protocol.get("synthetic")
    return f"small sets {given['n_steps']} x {given['batch_size']}" if given else ""
