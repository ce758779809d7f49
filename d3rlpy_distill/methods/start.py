"""Which real transitions the samples start from, and with which actions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.allocation import Allocation, allocate, check_sample_count, deal_shared, draw_per_action
from ..data.transitions import TransitionArrays

__all__ = ["draw_start"]


def draw_start(
    data: TransitionArrays,
    n_samples: int,
    allocation: Allocation,
    rng: np.random.Generator,
    shared_observations: int | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Draws the start of the samples.

    Args:
        data: N transitions.
        n_samples: M, 1 to N.
        allocation: How samples are shared out over discrete actions.
        rng: Draws them.
        shared_observations: So many observations, each with all actions; None gives each sample one of its own.

    Returns:
        The real transition whose observation each sample starts from, int64 ``(M,)``, and the actions
        ``(M, ...)``, discrete ones in ascending order. Unless observations are shared the actions are those of
        the transitions.

    Raises:
        UnsuitableDatasetError: If there are fewer transitions than asked for.
    """
    if not data.discrete:
        check_sample_count(n_samples, len(data))
        index = np.sort(rng.choice(len(data), n_samples, replace=False))
        return index, data.actions[index]
    per_action = allocate(n_samples, data.action_counts(), allocation)
    if shared_observations is None:
        index = draw_per_action(data.actions, per_action, rng)
        return index, data.actions[index]
    return deal_shared(per_action, len(data), shared_observations, rng)
