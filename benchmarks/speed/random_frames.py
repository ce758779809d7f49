"""A dataset of random frames, for what is timed without a real one."""

from __future__ import annotations

import numpy as np

from d3rlpy_distill import OfflineDataset, one_step_buffer
from procgen_datasets import N_ACTIONS
from procgen_datasets.expert import FRAME_SHAPE


def random_frames(count: int) -> OfflineDataset:
    """Returns ``count`` one-step episodes of Procgen's shapes: random frames, actions and rewards."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (count, *FRAME_SHAPE), dtype=np.uint8)
    actions = rng.integers(N_ACTIONS, size=count)
    return OfflineDataset(one_step_buffer(frames, actions, rng.normal(size=count), N_ACTIONS))
