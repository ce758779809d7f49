"""What a table says of an arm beside the two that it is measured by: random samples, and everything."""

from __future__ import annotations

from ..evaluation.results import ArmResult, Results
from .cells import difference_cell
from .intervals import difference

__all__ = ["CONVERGED", "FULL", "TOO_FEW", "as_good", "budget", "gain", "random_arm", "reference"]

FULL = "full"
CONVERGED = "converged"
RANDOM = ("random", "balanced")
MARGIN = 0.05  # of the mean return of students of all data
MIN_STUDENTS = 5
TOO_FEW = "too few students"


def reference(results: Results, kind: str, split: str, student: str | None = None) -> ArmResult | None:
    """Returns the arm of all data, actions as labels, as the tables show it.

    Args:
        results: The results.
        kind: :data:`FULL` or :data:`CONVERGED`.
        split: One of the results'.
        student: Whose arm; None where there is one student only.
    """
    names = results.find([kind], student=student)
    return results.main(names[0], split) if names else None


def random_arm(results: Results, split: str, student: str | None = None) -> ArmResult | None:
    """Returns the arm of random or balanced samples, actions as labels, of the higher mean return, or None.

    The better of the two on this very split: the choice favours the baseline, never the arm beside it.
    """
    arms = [results.main(name, split) for name in results.find(RANDOM, student=student)]
    return max((arm for arm in arms if arm is not None), key=lambda arm: arm.mean, default=None)


def gain(arm: ArmResult, random: ArmResult | None) -> str:
    """Returns the difference of the means with its 95% interval over students, which one student alone has not.

    "" where there is nothing to compare, see :func:`~.intervals.difference`.
    """
    found = difference(arm, random)
    if found is None or random is None:
        return ""
    alone = min(arm.n_students, random.n_students) == 1
    return f"{found[0]:+.2f}" if alone else difference_cell(*found)


def as_good(arm: ArmResult, full: ArmResult | None) -> str:
    """Returns "yes" where the 95% interval of the difference lies above -5% of ``full``'s mean, else "no".

    "too few students" with fewer than five; "" where there is nothing to compare, see :func:`~.intervals.difference`.
    """
    found = difference(arm, full)
    if found is None or full is None:
        return ""
    if min(arm.n_students, full.n_students) < MIN_STUDENTS:
        return TOO_FEW
    return "yes" if found[1] > -MARGIN * abs(full.mean) else "no"


def budget(results: Results, size: str, student: str | None) -> str:
    """Returns what a student was trained with, for example ``"100 x 15"``, or "" where that is not recorded.

    Args:
        results: The results.
        size: ``"full"`` for real data, ``"small"`` for small sets.
        student: Its name; None gives "".

    Where budgets were tuned, each arm has its own, and that is what is returned.
    """
    if results.tuning and student is not None:
        return "tuned on validation"
    given = results.protocol.get("budgets", {}).get(student, {}).get(size)
    return f"{given['n_steps']} x {given['batch_size']}" if given else ""
