"""Students of all the data whose mean policy labels observations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from d3rlpy.algos import DiscreteBC, DiscreteBCConfig

from .learner import autocast, build_learner, keep_heap, learner_network, scale

__all__ = ["Teachers"]

PIECE = 64  # images at once: the activations of the paper's student then fit a CPU's cache


class Teachers:
    """Several imitators as one policy, the mean of theirs.

    Args:
        config: Their learner; its scalers have to be fitted.
        weights: State of each one's network.
        observation_shape: Shape of one observation.
        action_size: Number of actions, A.
        device: torch device.
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
        self.weights = list(weights)
        self._learners: list[DiscreteBC] = []
        for state in self.weights:
            learner = build_learner(config, observation_shape, action_size, seed=0, device=device)
            learner_network(learner).load_state_dict(state)
            self._learners.append(learner)
        keep_heap()

    def __len__(self) -> int:
        return len(self._learners)

    def label(self, observations: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Returns the mean policy, float32 ``(N, A)``, at observations ``(N, ...)`` in the data's units."""
        pieces = np.split(observations, range(PIECE, len(observations), PIECE))
        return np.concatenate([self._mean(piece).numpy() for piece in pieces])

    def logits(self, observations: torch.Tensor) -> torch.Tensor:
        """Maps observations of any dtype ``(B, ...)`` to float32 log-probabilities ``(B, A)``."""
        return torch.cat([self._mean(piece).log() for piece in observations.split(PIECE)])

    def _mean(self, observations: npt.NDArray[Any] | torch.Tensor) -> torch.Tensor:
        policies = []
        with torch.no_grad():
            for learner in self._learners:
                x = scale(learner, observations)
                with autocast(x.device.type):
                    logits = learner_network(learner)(x).logits
                policies.append(torch.softmax(logits.float(), 1).cpu())
        return torch.stack(policies).mean(0)
