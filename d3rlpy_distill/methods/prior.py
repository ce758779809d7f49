"""Samples that carry the frequencies of the actions and nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..data import OfflineDataset, TransitionArrays
from ..data.allocation import allocate, check_sample_count, deal_shared
from ..options import option
from .base import Method, Run
from .distilled import Distilled

__all__ = ["PriorMethod"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PriorMethod(Method):
    """A few real observations, each with every action in the data's proportions.

    Which action goes with which observation then says nothing, so that students learn the marginal distribution
    of the actions alone, however long they train. What a method does not gain over this baseline, it owes to the
    action frequencies.

    Args, beside that of :class:`~.base.Method`:
        n_observations: How many different observations, 1 to ``n_samples``.
    """

    n_observations: int = option(10, "Different observations.", minimum=1)

    def inner_distill(self, dataset: OfflineDataset, rng: np.random.Generator, run: Run) -> Distilled:
        """Returns one-step episodes, grouped by action; the reward is the observation's own return-to-go.

        Raises:
            UnsuitableDatasetError: If the dataset has fewer transitions, or continuous actions.
        """
        data = dataset.transitions
        check_sample_count(self.n_samples, len(data))
        per_action = allocate(self.n_samples, data.action_counts(), "frequency")
        index, actions = deal_shared(per_action, len(data), min(self.n_observations, self.n_samples), rng)
        samples = TransitionArrays.one_step(
            data.observations[index], actions, data.returns_to_go[index], data.action_size
        )
        return Distilled(samples, sources=index)
