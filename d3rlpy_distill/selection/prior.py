"""Samples that carry the frequencies of the actions and nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
from d3rlpy.dataset import ReplayBuffer, ReplayBufferBase

from ..allocation import allocate, deal_shared
from ..transitions import TransitionArrays, one_step_buffer
from .protocol import check_sample_count

__all__ = ["PriorSelector"]


@dataclasses.dataclass(frozen=True)
class PriorSelector:
    """Gives a few real observations every action in the data's proportions.

    Which action goes with which observation then says nothing, so that students learn the marginal distribution
    of the actions alone, however long they train. What a method does not gain over this baseline, it owes to the
    action frequencies.

    Args:
        n_samples: How many, 1 to the number of transitions.
        n_observations: How many different observations, 1 to ``n_samples``.
    """

    n_samples: int
    n_observations: int = 10

    def __post_init__(self) -> None:
        if self.n_observations < 1:
            raise ValueError(f"n_observations={self.n_observations}: expected 1 or more.")

    def select(self, dataset: ReplayBufferBase, rng: np.random.Generator) -> ReplayBuffer:
        """Returns one-step episodes, grouped by action; the reward is the observation's own return-to-go.

        Raises:
            UnsuitableDatasetError: If the dataset has fewer transitions, or continuous actions.
        """
        data = TransitionArrays.from_buffer(dataset)
        check_sample_count(self.n_samples, data)
        per_action = allocate(self.n_samples, data.action_counts(), "frequency")
        index, actions = deal_shared(per_action, len(data), min(self.n_observations, self.n_samples), rng)
        return one_step_buffer(data.observations[index], actions, data.returns_to_go[index], data.action_size)
