"""Students of all the data whose mean policy labels observations."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from d3rlpy.algos import DiscreteBC, DiscreteBCConfig

from ..learners.bounded import no_larger_than
from ..learners.learner import build_learner, imitator_logits, keep_heap, learner_network

__all__ = ["Teachers"]


class Teachers:
    """Several imitators as one policy, the mean of theirs.

    Args:
        config: Their learner; its scalers have to be fitted.
        weights: State of each one's network.
        observation_shape: Shape of one observation.
        action_size: Number of actions, A.
        device: torch device.

    Raises:
        ValueError: If the configuration names a network that is larger than the weights.
    """

    def __init__(
        self,
        config: DiscreteBCConfig,
        weights: Sequence[Mapping[str, torch.Tensor]],
        observation_shape: Sequence[int],
        action_size: int,
        *,
        device: str = "cpu:0",
    ) -> None:
        self.config = config
        self.weights = list(weights)
        self._shape, self._action_size, self._device = tuple(observation_shape), action_size, device
        self._learners: list[DiscreteBC] = []
        for state in self.weights:
            with no_larger_than(state.values()):
                learner = build_learner(config, observation_shape, action_size, seed=0, device=device)
            learner_network(learner).load_state_dict(state)
            self._learners.append(learner)
        keep_heap()

    def __len__(self) -> int:
        return len(self._learners)

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of their weights, hexadecimal: sets with equal ones have the same teachers."""
        digest = hashlib.sha256()
        for state in self.weights:
            for name, value in sorted(state.items()):
                digest.update(name.encode())
                digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (self.config, self.weights, self._shape, self._action_size, self._device)

    def label(self, observations: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Returns the mean policy, float32 ``(N, A)``, at observations ``(N, ...)`` in the data's units."""
        labels: npt.NDArray[np.float32] = self._mean(torch.from_numpy(observations)).numpy()
        return labels

    def logits(self, observations: torch.Tensor) -> torch.Tensor:
        """Maps observations of any dtype ``(B, ...)`` to float32 log-probabilities ``(B, A)``."""
        return self._mean(observations).log()

    def _mean(self, observations: torch.Tensor) -> torch.Tensor:
        policies = [torch.softmax(imitator_logits(learner, observations), 1) for learner in self._learners]
        return torch.stack(policies).mean(0)


def _remade(
    config: DiscreteBCConfig,
    weights: Sequence[Mapping[str, torch.Tensor]],
    observation_shape: Sequence[int],
    action_size: int,
    device: str,
) -> Teachers:
    """What pickle calls, which knows no keyword arguments."""
    return Teachers(config, weights, observation_shape, action_size, device=device)
