"""d3rlpy buffers made by hand."""

from __future__ import annotations

import numpy as np
from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer


def make_buffer(
    lengths: list[int],
    returns: list[float] | None = None,
    *,
    shape: tuple[int, ...] = (3, 16, 16),
    action_size: int = 4,
    terminated: bool = True,
    seed: int = 0,
) -> ReplayBuffer:
    """Random episodes whose whole return comes with the first step."""
    rng = np.random.default_rng(seed)
    episodes = []
    for i, length in enumerate(lengths):
        rewards = np.zeros((length, 1), np.float32)
        rewards[0] = returns[i] if returns else rng.random()
        episodes.append(
            Episode(
                rng.integers(0, 256, (length, *shape)).astype(np.uint8),
                rng.integers(0, action_size, (length, 1)).astype(np.int32),
                rewards,
                terminated,
            )
        )
    return ReplayBuffer(InfiniteBuffer(), episodes=episodes, action_size=action_size)
