"""Splits of an environment that has no levels: disjoint ranges of the seeds that episodes are reset with."""

from __future__ import annotations

import dataclasses

from ..errors import SettingsError

__all__ = ["STARTS", "Starts"]

APART = 1000
"""How far the starts of two seeds lie apart: 1000 episodes of seeds 0 and 1 have no start in common."""


@dataclasses.dataclass(frozen=True)
class Starts:
    """A range of reset seeds.

    Args:
        first: The first.
        size: How many.
    """

    first: int
    size: int

    def of(self, seed: int, episodes: int) -> list[int]:
        """Returns the reset seeds of episodes 0 to E - 1: those that follow ``first + 1000 * seed``, in a circle.

        Args:
            seed: Of an evaluation or a collection.
            episodes: E.

        Raises:
            SettingsError: If there are not so many.
        """
        if not 1 <= episodes <= self.size:
            raise SettingsError(f"episodes={episodes}: expected 1 to {self.size}, the starts that there are.")
        return [self.first + (APART * seed + episode) % self.size for episode in range(episodes)]


STARTS = {
    "train": Starts(0, 10_000),
    "validation": Starts(10_000, 10_000),
    "test": Starts(20_000, 2**31 - 20_000),
}
"""What datasets are collected from and experts are trained on; what settings are chosen on; and all others."""
