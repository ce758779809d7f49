"""Ctrl-C, where the same command does not go on."""

from __future__ import annotations

import rich_click as click

__all__ = ["Interrupted"]


class Interrupted(click.Abort):
    """Ctrl-C, in a command that goes on when something else is typed.

    Args:
        advice: What to do to go on.
    """

    def __init__(self, advice: str) -> None:
        super().__init__(advice)
        self.advice = advice
