"""Policies: what a task plays and what a student becomes."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

__all__ = [
    "ContinuousPolicy",
    "DiscretePolicy",
    "Policy",
    "RandomPolicy",
    "SampledPolicy",
    "UniformPolicy",
    "sample_actions",
]


@runtime_checkable
class DiscretePolicy(Protocol):
    """Anything that maps observations ``(B, ...)`` of any dtype to float32 logits ``(B, A)`` on the CPU."""

    def logits(self, observations: torch.Tensor) -> torch.Tensor: ...


@runtime_checkable
class ContinuousPolicy(Protocol):
    """Anything that maps observations ``(B, ...)`` to float32 actions ``(B, D)`` in the task's units, on the CPU."""

    def actions(self, observations: torch.Tensor) -> torch.Tensor: ...


@runtime_checkable
class SampledPolicy(Protocol):
    """A policy of continuous actions that is a distribution: ``actions`` gives its mean, ``sampled`` draws.

    ``sampled`` maps observations ``(B, ...)`` and standard normal noise ``(B, D)`` to float32 actions ``(B, D)``.
    """

    def actions(self, observations: torch.Tensor) -> torch.Tensor: ...

    def sampled(self, observations: torch.Tensor, noise: torch.Tensor) -> torch.Tensor: ...


Policy: TypeAlias = "DiscretePolicy | ContinuousPolicy"


class RandomPolicy:
    """Gives every discrete action the same logit: the floor of every table.

    Played greedily it always takes action 0 and is then a constant policy, not a random one.

    Args:
        action_size: Number of actions, A.
    """

    def __init__(self, action_size: int) -> None:
        self._action_size = action_size

    def logits(self, observations: torch.Tensor) -> torch.Tensor:
        """Returns zeros ``(B, A)``."""
        return torch.zeros(observations.shape[0], self._action_size)


class UniformPolicy:
    """Draws every continuous action uniformly between bounds, from a stream of its own.

    Args:
        low: Smallest values, ``(D,)``.
        high: Largest values, ``(D,)``.
        seed: Of the stream.
    """

    def __init__(self, low: npt.NDArray[np.floating[Any]], high: npt.NDArray[np.floating[Any]], seed: int) -> None:
        self._low, self._high, self._rng = low, high, np.random.default_rng(seed)

    def actions(self, observations: torch.Tensor) -> torch.Tensor:
        """Returns float32 ``(B, D)``."""
        return self.at(self._rng.random((len(observations), len(self._low))))

    def at(self, uniform: npt.NDArray[np.float64]) -> torch.Tensor:
        """Maps uniforms in [0, 1) to actions, float32, ``(B, D)`` both: for who has a stream for every episode."""
        drawn = self._low + uniform * (self._high.astype(np.float64) - self._low)
        return torch.from_numpy(drawn.astype(np.float32))


def sample_actions(
    probabilities: npt.NDArray[np.float32], uniform: npt.NDArray[np.float64]
) -> npt.NDArray[np.int32]:
    """Samples by inverse transform: ``(B, A)`` probabilities and ``(B,)`` uniforms to ``(B,)`` actions."""
    cumulative = probabilities.cumsum(1, dtype=np.float64)
    threshold = uniform * cumulative[:, -1]  # float32 probabilities sum to 1 only nearly
    actions: npt.NDArray[np.int32] = (cumulative <= threshold[:, None]).sum(1).astype(np.int32)
    return actions
