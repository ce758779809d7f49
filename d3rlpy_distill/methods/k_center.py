"""k-center (Gonzalez 1985; Sener and Savarese 2018): samples that cover the data."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data import TransitionArrays
from ..data.mapped import in_pieces
from .coreset import Coreset
from .features import pooled_pixels

__all__ = ["KCenterCoreset", "k_center"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class KCenterCoreset(Coreset):
    """Greedy k-center on pooled pixels: transitions that leave none far from them; deterministic."""

    def choose(self, data: TransitionArrays, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Returns indices in the order of picking, see :func:`k_center`."""
        return k_center(pooled_pixels(data.observations), self.n_samples)


def k_center(features: npt.NDArray[np.float32], n_samples: int) -> npt.NDArray[np.int64]:
    """Picks the sample nearest to the mean, then again and again the one farthest from all picked.

    The greedy 2-approximation of the smallest covering radius. Ties go to the lowest index.

    Args:
        features: ``(N, D)``.
        n_samples: 1 to N.

    Returns:
        Indices in the order of picking, ``(n_samples,)``.
    """
    picked = np.empty(n_samples, np.int64)
    picked[0] = int(np.argmin(_squared_distances(features, features.mean(0, dtype=np.float64))))
    nearest = np.full(len(features), np.inf)
    for k in range(1, n_samples):
        nearest = np.minimum(nearest, _squared_distances(features, features[picked[k - 1]]))
        nearest[picked[:k]] = -1.0  # duplicates of a picked sample stay eligible, the picked ones do not
        picked[k] = int(np.argmax(nearest))
    return picked


def _squared_distances(features: npt.NDArray[np.float32], point: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Squared distances of ``(N, D)`` from ``(D,)``, float64 ``(N,)``; few features are float64 at once."""
    exact = point.astype(np.float64)
    return np.concatenate([((one.astype(np.float64) - exact) ** 2).sum(1) for one in in_pieces(features)])
