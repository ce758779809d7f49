"""Coresets: methods of zero steps, which choose real transitions and leave them as they are."""

from __future__ import annotations

import abc
import dataclasses

import numpy as np
import numpy.typing as npt

from ..data import OfflineDataset, TransitionArrays
from ..data.allocation import check_sample_count
from .base import Method, Run
from .distilled import Distilled

__all__ = ["Coreset"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coreset(Method):
    """Chooses ``n_samples`` transitions. A subclass says which."""

    @abc.abstractmethod
    def choose(self, data: TransitionArrays, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Returns the indices of the chosen transitions, int64 ``(n_samples,)``.

        Args:
            data: N transitions, at least ``n_samples``.
            rng: Draws whatever is random; a deterministic coreset leaves it alone.
        """

    def inner_distill(self, dataset: OfflineDataset, rng: np.random.Generator, run: Run) -> Distilled:
        """Returns the chosen transitions as one-step episodes, in the order of choice."""
        data = dataset.transitions
        check_sample_count(self.n_samples, len(data))
        index = self.choose(data, rng)
        return Distilled(data.take(index), sources=index)
