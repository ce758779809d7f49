"""What a learner's loss is computed on."""

from __future__ import annotations

import dataclasses

import torch

__all__ = ["Batch"]


@dataclasses.dataclass(frozen=True)
class Batch:
    """B transitions on a learner's device. Imitation reads observations and actions only.

    Args:
        observations: Scaled, float32 ``(B, ...)``.
        actions: int64 ``(B,)``, or float32 ``(B, D)`` where actions are continuous.
        rewards: float32 ``(B,)``; None for imitation.
        next_observations: Scaled, float32 ``(B, ...)``; None where every transition is terminal.
        terminals: 1 where the episode ends with the transition, float32 ``(B,)``; None for imitation.
        probabilities: Soft labels, float32 ``(B, A)``; None where the actions are the labels.
    """

    observations: torch.Tensor
    actions: torch.Tensor
    rewards: torch.Tensor | None = None
    next_observations: torch.Tensor | None = None
    terminals: torch.Tensor | None = None
    probabilities: torch.Tensor | None = None
