"""A uniformly random subset of the transitions."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from ..data import TransitionArrays
from .coreset import Coreset

__all__ = ["RandomCoreset"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomCoreset(Coreset):
    """Transitions drawn uniformly without replacement, so that actions keep their natural frequency on average."""

    def choose(self, data: TransitionArrays, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Returns indices in the dataset's order."""
        return np.sort(rng.choice(len(data), self.n_samples, replace=False))
