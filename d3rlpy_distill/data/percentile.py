"""Percentile behaviour cloning's filter: the episodes with the highest returns."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from d3rlpy.dataset import ReplayBufferBase

__all__ = ["best_episodes"]


def best_episodes(dataset: ReplayBufferBase, percent: float) -> npt.NDArray[np.int64]:
    """Ranks episodes by undiscounted return, equal returns by their order, and takes the best of them.

    This is the weight ``w = 1[G0 >= b]`` of arXiv 2407.20299 with ``b`` chosen so that x% of the data is left.

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
