"""Uniformly random play: the floor of every table."""

from __future__ import annotations

import torch

from ..games import N_ACTIONS

__all__ = ["RandomPolicy"]


class RandomPolicy:
    """Gives every action the same logit.

    Played greedily it always takes action 0 and is then a constant policy, not a random one.
    """

    def logits(self, observations: torch.Tensor) -> torch.Tensor:
        """Returns zeros ``(B, 15)`` for frames ``(B, 3, 64, 64)``."""
        return torch.zeros(observations.shape[0], N_ACTIONS)
