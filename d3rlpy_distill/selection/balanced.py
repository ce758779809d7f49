"""A random subset with the same number of samples for every action."""

from __future__ import annotations

import dataclasses

import numpy as np
from d3rlpy.dataset import ReplayBuffer, ReplayBufferBase

from ..allocation import allocate, draw_per_action
from ..transitions import TransitionArrays

__all__ = ["BalancedSelector"]


@dataclasses.dataclass(frozen=True)
class BalancedSelector:
    """Draws evenly over the actions that occur, without replacement (see :func:`~..allocation.allocate`).

    This is what the paper's distillation starts from: 10 frames for each of 15 actions.

    Args:
        n_samples: How many, 1 to the number of transitions.
    """

    n_samples: int

    def select(self, dataset: ReplayBufferBase, rng: np.random.Generator) -> ReplayBuffer:
        """Returns one-step episodes, grouped by action.

        Raises:
            UnsuitableDatasetError: If the dataset has fewer transitions.
        """
        data = TransitionArrays.from_buffer(dataset)
        per_action = allocate(self.n_samples, data.action_counts(), "even")
        return data.take(draw_per_action(data.actions, per_action, rng))
