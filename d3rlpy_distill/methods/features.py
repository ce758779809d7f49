"""Features of observations in which geometric coresets measure distances."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.mapped import in_pieces

__all__ = ["pooled_pixels"]

POOLED = 8


def pooled_pixels(observations: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Averages images ``(N, C, H, W)`` over a grid of 8x8 cells; other observations are flattened."""
    return np.concatenate([_pooled(piece) for piece in in_pieces(observations)])


def _pooled(observations: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    if observations.ndim != 4 or min(observations.shape[2:]) < POOLED:
        return observations.reshape(len(observations), -1).astype(np.float32)
    n, channels, height, width = observations.shape
    h, w = height // POOLED, width // POOLED
    grid = observations[:, :, : h * POOLED, : w * POOLED].reshape(n, channels, POOLED, h, POOLED, w)
    pooled: npt.NDArray[np.float32] = grid.mean((3, 5), dtype=np.float32).reshape(n, -1)
    return pooled
