"""Percentile behaviour cloning's filter: the episodes with the highest returns."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt
from d3rlpy.dataset import InfiniteBuffer, ReplayBuffer, ReplayBufferBase

__all__ = ["PercentileSelector", "best_episodes"]


def best_episodes(dataset: ReplayBufferBase, percent: float) -> npt.NDArray[np.int64]:
    """Ranks episodes by undiscounted return, equal returns by their order, and takes the best of them.

    Args:
        dataset: E episodes with N transitions.
        percent: Above 0, at most 100: the shortest prefix with ``ceil(percent / 100 * N)`` transitions is taken.

    Returns:
        The indices of its episodes, increasing, int64 ``(K,)``.
    """
    counts = np.array([episode.transition_count for episode in dataset.episodes])
    returns = np.array([episode.compute_return() for episode in dataset.episodes])
    ranked = np.argsort(-returns, kind="stable")
    wanted = math.ceil(percent / 100 * counts.sum() - 1e-9)  # 10% of 50 is 5, whatever floats say
    kept = int(np.searchsorted(counts[ranked].cumsum(), wanted)) + 1
    return np.sort(ranked[:kept])


@dataclasses.dataclass(frozen=True)
class PercentileSelector:
    """Keeps whole episodes, best returns first, until at least ``percent`` % of the transitions are kept.

    This is the weight ``w = 1[G0 >= b]`` of arXiv 2407.20299 with ``b`` chosen so that x% of the data is left
    (:func:`best_episodes`). They stay in the dataset's order.

    Args:
        percent: Above 0, at most 100.
    """

    percent: float

    def __post_init__(self) -> None:
        if not 0 < self.percent <= 100:
            raise ValueError(f"percent={self.percent}: expected above 0 and at most 100.")

    def select(self, dataset: ReplayBufferBase, rng: np.random.Generator) -> ReplayBuffer:
        """Returns the best episodes, unchanged; deterministic."""
        return ReplayBuffer(
            InfiniteBuffer(),
            episodes=[dataset.episodes[i] for i in best_episodes(dataset, self.percent)],
            action_size=dataset.dataset_info.action_size,
        )
