"""Batch-constrained Q-learning as a student."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from d3rlpy.algos import BCQConfig, DiscreteBCQConfig
from d3rlpy.base import LearnableConfig
from d3rlpy.models.encoders import EncoderFactory

from .base import Budget
from .stock import LEARNING_RATE, StockStudent, target_interval

__all__ = ["BcqStudent"]


@dataclasses.dataclass(frozen=True)
class BcqStudent(StockStudent):
    """d3rlpy's BCQ: Q-learning within the actions that an imitator finds likely."""

    name: ClassVar[str] = "bcq"

    def discrete(self, budget: Budget, encoder: EncoderFactory) -> LearnableConfig | None:
        """Returns :class:`d3rlpy.algos.DiscreteBCQConfig`; its target network is updated ten times in a training."""
        return DiscreteBCQConfig(
            batch_size=budget.batch_size,
            learning_rate=LEARNING_RATE,
            encoder_factory=encoder,
            target_update_interval=target_interval(budget),
        )

    def continuous(self, budget: Budget, encoder: EncoderFactory) -> LearnableConfig | None:
        """Returns :class:`d3rlpy.algos.BCQConfig`."""
        return BCQConfig(
            batch_size=budget.batch_size,
            actor_encoder_factory=encoder,
            critic_encoder_factory=encoder,
        )
