"""Images as networks read them: channels first."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["channel_first"]


def channel_first(observations: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns images ``(N, H, W, C)`` as ``(N, C, H, W)``, contiguous; anything else as it is.

    The channels are the last axis where it is the shortest of the three, and shorter than the first; a frame stack
    of 4 images of 84x84 is told from its transpose by that.
    """
    if observations.ndim != 4:
        return observations
    first, middle, last = observations.shape[1:]
    if last < first and last < middle:
        return np.ascontiguousarray(observations.transpose(0, 3, 1, 2))
    return observations
