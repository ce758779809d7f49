"""The objective of gradient matching."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..transitions import TransitionArrays
from .config import GradientMatchingConfig
from .distance import DISTANCES
from .gradients import MAX_DEAD, all_dead, is_dead, real_gradient, synthetic_gradient
from .synthetic import SyntheticSet
from .theta import Theta

__all__ = ["GradientObjective"]


class GradientObjective:
    """The distance of gradients, summed over groups of samples, at one theta after the other.

    Args:
        config: Distance, grouping and size of the real batches.
        theta: Where gradients are taken.
        data: The real data.
        actions: The samples' actions ``(M,)``, which do not change where they are grouped.
        rng: Draws the real batches.
    """

    def __init__(
        self,
        config: GradientMatchingConfig,
        theta: Theta,
        data: TransitionArrays,
        actions: torch.Tensor,
        rng: np.random.Generator,
    ) -> None:
        self._config, self._theta, self._data, self._rng = config, theta, data, rng
        self._distance = DISTANCES[config.distance]
        if config.grouping == "action":
            present = actions.unique().tolist()
            self._groups = [
                (np.flatnonzero(data.actions == a), torch.nonzero(actions == a).flatten()) for a in present
            ]
        else:
            self._groups = [(np.arange(len(data)), torch.arange(len(actions), device=actions.device))]
        self._constant = config.theta == "given" and config.real_batch_size is None
        self._cached: list[list[torch.Tensor]] | None = None

    def step(self, samples: SyntheticSet) -> float:
        """Adds the gradient of the distance to what is learned of the samples, and returns the distance."""
        total = 0.0
        for (_, mine), real in zip(self._groups, self._real_gradients(), strict=True):
            synthetic = synthetic_gradient(
                self._theta.learner, samples.observations[mine], samples.actions[mine], samples.rewards[mine]
            )
            distance = self._distance(real, synthetic)
            if distance.requires_grad:
                distance.backward(inputs=list(samples.parameters.values()))
            total += float(distance.detach())
        return total

    def advance(self) -> None:
        """Moves on to the next weights."""
        self._theta.advance()

    def finish(self, samples: SyntheticSet) -> None:
        """Nothing: the samples are what they have become."""

    def state(self) -> dict[str, Any]:
        """Returns what :meth:`load_state` takes."""
        return self._theta.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self._theta.load_state(state)

    def _real_gradients(self) -> list[list[torch.Tensor]]:
        if self._cached is not None:
            return self._cached
        for _ in range(MAX_DEAD):
            gradients = [
                real_gradient(self._theta.learner, self._data, self._batch(members)) for members, _ in self._groups
            ]
            if not all(is_dead(gradient) for gradient in gradients):
                if self._constant:
                    self._cached = gradients
                return gradients
            self._theta.redraw()
        raise all_dead()

    def _batch(self, members: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        size = self._config.real_batch_size
        return members if size is None else self._rng.choice(members, size)
