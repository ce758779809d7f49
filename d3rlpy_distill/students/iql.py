"""Implicit Q-learning as a student."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from d3rlpy.algos import IQLConfig
from d3rlpy.base import LearnableConfig
from d3rlpy.models.encoders import EncoderFactory

from .base import Budget
from .stock import StockStudent

__all__ = ["IqlStudent"]


@dataclasses.dataclass(frozen=True)
class IqlStudent(StockStudent):
    """d3rlpy's IQL: implicit Q-learning (arXiv 2110.06169); continuous actions."""

    name: ClassVar[str] = "iql"

    def continuous(self, budget: Budget, encoder: EncoderFactory) -> LearnableConfig | None:
        """Returns :class:`d3rlpy.algos.IQLConfig` with d3rlpy's settings."""
        return IQLConfig(
            batch_size=budget.batch_size,
            actor_encoder_factory=encoder,
            critic_encoder_factory=encoder,
            value_encoder_factory=encoder,
        )
