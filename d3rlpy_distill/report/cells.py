"""The cells that several tables have: a mean with its deviation, a difference with its interval."""

from __future__ import annotations

from ..evaluation.results import ArmResult

__all__ = ["difference_cell", "return_cell"]


def return_cell(arm: ArmResult | None) -> str:
    """Returns mean and deviation, ``"4.13 ± 1.03"``; "" for None."""
    return "" if arm is None else f"{arm.mean:.2f} ± {arm.std:.2f}"


def difference_cell(value: float, low: float, high: float) -> str:
    """Returns a difference with its 95% interval, ``"+1.94 [+1.37, +2.44]"``."""
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"
