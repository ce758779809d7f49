"""Which real transitions the samples start from, and with which actions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..allocation import allocate, deal_shared, draw_per_action
from ..errors import UnsuitableDatasetError
from ..transitions import TransitionArrays
from .family import DistillationConfig

__all__ = ["draw_start"]


def draw_start(
    config: DistillationConfig, data: TransitionArrays, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Draws the start of the samples.

    Returns:
        The real transition whose observation each sample starts from, int64 ``(M,)``, and the actions
        ``(M, ...)``, discrete ones in ascending order. Unless observations are shared the actions are those of
        the transitions.

    Raises:
        UnsuitableDatasetError: If there are fewer transitions than asked for.
    """
    if not data.discrete:
        if config.n_samples > len(data):
            raise UnsuitableDatasetError(
                f"n_samples={config.n_samples}: expected 1 to {len(data)}, the transitions in the dataset."
            )
        index = np.sort(rng.choice(len(data), config.n_samples, replace=False))
        return index, data.actions[index]
    per_action = allocate(config.n_samples, data.action_counts(), config.allocation)
    if config.shared_observations is None:
        index = draw_per_action(data.actions, per_action, rng)
        return index, data.actions[index]
    return deal_shared(per_action, len(data), config.shared_observations, rng)
