"""Coresets: herding (Welling 2009) and k-center (Gonzalez 1985; Sener & Savarese 2018) on features."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from d3rlpy.dataset import ReplayBuffer, ReplayBufferBase

from ..transitions import TransitionArrays
from .protocol import check_sample_count

__all__ = ["Features", "HerdingSelector", "KCenterSelector", "herding", "k_center", "pooled_pixels"]

Features = Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]]
"""Observations ``(N, ...)`` to features ``(N, D)``."""

POOLED = 8


def pooled_pixels(observations: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Averages images ``(N, C, H, W)`` over a grid of 8x8 cells; other observations are flattened."""
    if observations.ndim != 4 or min(observations.shape[2:]) < POOLED:
        return observations.reshape(len(observations), -1).astype(np.float32)
    n, channels, height, width = observations.shape
    h, w = height // POOLED, width // POOLED
    grid = observations[:, :, : h * POOLED, : w * POOLED].reshape(n, channels, POOLED, h, POOLED, w)
    pooled: npt.NDArray[np.float32] = grid.mean((3, 5), dtype=np.float32).reshape(n, -1)
    return pooled


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


def k_center(features: npt.NDArray[np.float32], n_samples: int) -> npt.NDArray[np.int64]:
    """Picks the sample nearest to the mean, then again and again the one farthest from all picked.

    The greedy 2-approximation of the smallest covering radius. Ties go to the lowest index.

    Args:
        features: ``(N, D)``.
        n_samples: 1 to N.

    Returns:
        Indices in the order of picking, ``(n_samples,)``.
    """
    exact = features.astype(np.float64)
    picked = np.empty(n_samples, np.int64)
    picked[0] = int(np.argmin(((exact - exact.mean(0)) ** 2).sum(1)))
    nearest = np.full(len(exact), np.inf)
    for k in range(1, n_samples):
        nearest = np.minimum(nearest, ((exact - exact[picked[k - 1]]) ** 2).sum(1))
        nearest[picked[:k]] = -1.0  # duplicates of a picked sample stay eligible, the picked ones do not
        picked[k] = int(np.argmax(nearest))
    return picked


@dataclasses.dataclass(frozen=True)
class _FeatureSelector:
    n_samples: int
    features: Features = pooled_pixels

    def select(self, dataset: ReplayBufferBase, rng: np.random.Generator) -> ReplayBuffer:
        """Returns one-step episodes in the order of picking; deterministic."""
        data = TransitionArrays.from_buffer(dataset)
        check_sample_count(self.n_samples, data)
        return data.take(self._pick(self.features(data.observations)))

    def _pick(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        raise NotImplementedError


class HerdingSelector(_FeatureSelector):
    """Keeps the samples whose features have nearly the mean of all, see :func:`herding`.

    Args:
        n_samples: How many, 1 to the number of transitions.
        features: Observations to features.
    """

    def _pick(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        return herding(features, self.n_samples)


class KCenterSelector(_FeatureSelector):
    """Keeps samples that cover the data, see :func:`k_center`.

    Args:
        n_samples: How many, 1 to the number of transitions.
        features: Observations to features.
    """

    def _pick(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        return k_center(features, self.n_samples)
