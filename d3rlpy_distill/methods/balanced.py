"""A random subset with the same number of samples for every action."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from ..data import TransitionArrays
from ..data.allocation import allocate, draw_per_action
from .coreset import Coreset

__all__ = ["BalancedCoreset"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BalancedCoreset(Coreset):
    """Transitions drawn evenly over the actions that occur, without replacement.

    This is what the paper's distillation starts from: 10 frames for each of 15 actions
    (see :func:`~..data.allocation.allocate`).
    """

    def choose(self, data: TransitionArrays, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Returns indices grouped by action."""
        per_action = allocate(self.n_samples, data.action_counts(), "even")
        return draw_per_action(data.actions, per_action, rng)
