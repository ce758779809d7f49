"""Durations as people say them."""

from __future__ import annotations

__all__ = ["duration"]


def duration(seconds: float) -> str:
    """Returns a duration as people say it: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
