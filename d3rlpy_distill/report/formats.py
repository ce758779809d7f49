"""Writes a report in a format by its name."""

from __future__ import annotations

from ..catalogue import FORMATS
from .contents import Report

__all__ = ["write_report"]


def write_report(report: Report, name: str = "md") -> str:
    """Returns a report as text, without a newline at the end.

    Args:
        report: What it shows.
        name: One of :data:`~..catalogue.FORMATS`; a plug-in adds to them by ``register_format``.

    Raises:
        UnknownNameError: If there is no such format.
        DistillError: If an arm is to be compared that an evaluation has not.
    """
    return FORMATS.get(name)(report)
