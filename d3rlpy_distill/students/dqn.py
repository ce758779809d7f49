"""Q-learning as a student."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from d3rlpy.algos import DQNConfig
from d3rlpy.base import LearnableConfig
from d3rlpy.models.encoders import EncoderFactory

from .base import Budget
from .stock import LEARNING_RATE, StockStudent, target_interval

__all__ = ["DqnStudent"]


@dataclasses.dataclass(frozen=True)
class DqnStudent(StockStudent):
    """d3rlpy's DQN: Q-learning with a target network; discrete actions."""

    name: ClassVar[str] = "dqn"

    def discrete(self, budget: Budget, encoder: EncoderFactory) -> LearnableConfig | None:
        """Returns :class:`d3rlpy.algos.DQNConfig`; its target network is updated ten times in a training."""
        return DQNConfig(
            batch_size=budget.batch_size,
            learning_rate=LEARNING_RATE,
            encoder_factory=encoder,
            target_update_interval=target_interval(budget),
        )
