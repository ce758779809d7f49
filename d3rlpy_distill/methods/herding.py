"""Herding (Welling 2009): samples whose mean feature follows that of all data."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from ..data import TransitionArrays
from .coreset import Coreset
from .features import pooled_pixels

__all__ = ["HerdingCoreset", "herding"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class HerdingCoreset(Coreset):
    """Herding on pooled pixels: transitions whose mean feature is nearly that of all; deterministic."""

    def choose(self, data: TransitionArrays, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Returns indices in the order of picking, see :func:`herding`."""
        return herding(pooled_pixels(data.observations), self.n_samples)


def herding(features: npt.NDArray[np.float32], n_samples: int) -> npt.NDArray[np.int64]:
    """Picks samples one by one so that the mean of those picked follows the mean of all.

    The k-th sample is the unpicked one that brings the sum of the picked closest to k times the mean of all.
    Ties go to the lowest index.

    Args:
        features: ``(N, D)``.
        n_samples: 1 to N.

    Returns:
        Indices in the order of picking, ``(n_samples,)``.
    """
    target = features.mean(0, dtype=np.float64)
    squares = np.einsum("nd,nd->n", features, features, dtype=np.float64)
    picked = np.empty(n_samples, np.int64)
    residual = np.zeros_like(target)
    for k in range(n_samples):
        residual += target
        # argmin |residual - f|^2 over the unpicked
        distance = squares - 2 * (features @ residual)
        distance[picked[:k]] = np.inf
        picked[k] = int(np.argmin(distance))
        residual -= features[picked[k]]
    return picked
