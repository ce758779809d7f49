"""Conservative Q-learning as a student."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from d3rlpy.algos import CQLConfig, DiscreteCQLConfig
from d3rlpy.base import LearnableConfig
from d3rlpy.models.encoders import EncoderFactory

from .base import Budget
from .stock import LEARNING_RATE, StockStudent, target_interval

__all__ = ["CqlStudent"]


@dataclasses.dataclass(frozen=True)
class CqlStudent(StockStudent):
    """d3rlpy's CQL: conservative Q-learning."""

    name: ClassVar[str] = "cql"

    def discrete(self, budget: Budget, encoder: EncoderFactory) -> LearnableConfig | None:
        """Returns :class:`d3rlpy.algos.DiscreteCQLConfig`; its target network is updated ten times in a training."""
        return DiscreteCQLConfig(
            batch_size=budget.batch_size,
            learning_rate=LEARNING_RATE,
            encoder_factory=encoder,
            target_update_interval=target_interval(budget),
        )

    def continuous(self, budget: Budget, encoder: EncoderFactory) -> LearnableConfig | None:
        """Returns :class:`d3rlpy.algos.CQLConfig`."""
        return CQLConfig(
            batch_size=budget.batch_size,
            actor_encoder_factory=encoder,
            critic_encoder_factory=encoder,
        )
