"""A dataset of random vectors, for what is timed without a real one."""

from __future__ import annotations

import numpy as np

from d3rlpy_distill import OfflineDataset, one_step_buffer


def random_vectors(count: int) -> OfflineDataset:
    """Returns ``count`` one-step episodes of LunarLander's shapes: random vectors and actions."""
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(count, 8)).astype(np.float32)
    return OfflineDataset(one_step_buffer(observations, rng.integers(4, size=count), np.zeros(count), 4))
