"""A uniformly random subset of the transitions."""

from __future__ import annotations

import dataclasses

import numpy as np
from d3rlpy.dataset import ReplayBuffer, ReplayBufferBase

from ..transitions import TransitionArrays
from .protocol import check_sample_count

__all__ = ["RandomSelector"]


@dataclasses.dataclass(frozen=True)
class RandomSelector:
    """Draws transitions uniformly without replacement, so actions keep their natural frequency on average.

    Args:
        n_samples: How many, 1 to the number of transitions.
    """

    n_samples: int

    def select(self, dataset: ReplayBufferBase, rng: np.random.Generator) -> ReplayBuffer:
        """Returns one-step episodes, in the dataset's order.

        Raises:
            UnsuitableDatasetError: If the dataset has fewer transitions.
        """
        data = TransitionArrays.from_buffer(dataset)
        check_sample_count(self.n_samples, data)
        return data.take(np.sort(rng.choice(len(data), self.n_samples, replace=False)))
