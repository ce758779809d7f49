"""What selectors and distillers have in common: dataset in, smaller dataset out."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from d3rlpy.dataset import ReplayBuffer, ReplayBufferBase

from ..errors import UnsuitableDatasetError
from ..transitions import TransitionArrays

__all__ = ["Selector", "check_sample_count"]


class Selector(Protocol):
    """Chooses part of a dataset."""

    def select(self, dataset: ReplayBufferBase, rng: np.random.Generator) -> ReplayBuffer:
        """Returns the chosen part.

        Args:
            dataset: Any d3rlpy buffer with discrete actions.
            rng: Draws whatever is random; deterministic selectors leave it alone.
        """
        ...


def check_sample_count(n_samples: int, data: TransitionArrays) -> None:
    """Refuses a number of samples that the data cannot give.

    Raises:
        UnsuitableDatasetError: If ``n_samples`` is below 1 or above the number of transitions.
    """
    if not 1 <= n_samples <= len(data):
        raise UnsuitableDatasetError(
            f"n_samples={n_samples}: expected 1 to {len(data)}, the transitions in the dataset."
        )
