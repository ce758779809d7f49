"""Percentile behaviour cloning's filter: the episodes with the highest returns."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from d3rlpy.dataset import InfiniteBuffer, ReplayBuffer, ReplayBufferBase

__all__ = ["PercentileSelector"]


@dataclasses.dataclass(frozen=True)
class PercentileSelector:
    """Keeps whole episodes, best returns first, until at least ``percent`` % of the transitions are kept.

    This is the weight ``w = 1[G0 >= b]`` of arXiv 2407.20299 with ``b`` chosen so that x% of the data is left.
    Episodes are ranked by undiscounted return, equal returns by their order in the dataset, and the shortest
    prefix with at least ``ceil(percent / 100 * N)`` of the N transitions stays, in the dataset's order.

    Args:
        percent: Above 0, at most 100.
    """

    percent: float

    def __post_init__(self) -> None:
        if not 0 < self.percent <= 100:
            raise ValueError(f"percent={self.percent}: expected above 0 and at most 100.")

    def select(self, dataset: ReplayBufferBase, rng: np.random.Generator) -> ReplayBuffer:
        """Returns the best episodes, unchanged; deterministic."""
        episodes = dataset.episodes
        counts = np.array([episode.transition_count for episode in episodes])
        returns = np.array([episode.compute_return() for episode in episodes])
        ranked = np.argsort(-returns, kind="stable")
        wanted = math.ceil(self.percent / 100 * counts.sum() - 1e-9)  # 10% of 50 is 5, whatever floats say
        kept = int(np.searchsorted(counts[ranked].cumsum(), wanted)) + 1
        chosen = np.sort(ranked[:kept])
        return ReplayBuffer(
            InfiniteBuffer(),
            episodes=[episodes[i] for i in chosen],
            action_size=dataset.dataset_info.action_size,
        )
