"""Soft actor-critic as a student."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from d3rlpy.algos import DiscreteSAC, DiscreteSACConfig, SACConfig
from d3rlpy.base import LearnableConfig
from d3rlpy.models.encoders import EncoderFactory

from ..learners.learner import AnyLearner
from ..policies import Policy
from .base import Budget
from .stock import LEARNING_RATE, LogitsPolicy, StockStudent, target_interval

__all__ = ["SacStudent"]


@dataclasses.dataclass(frozen=True)
class SacStudent(StockStudent):
    """d3rlpy's SAC: soft actor-critic."""

    name: ClassVar[str] = "sac"

    def discrete(self, budget: Budget, encoder: EncoderFactory) -> LearnableConfig | None:
        """Returns :class:`d3rlpy.algos.DiscreteSACConfig`."""
        return DiscreteSACConfig(
            batch_size=budget.batch_size,
            actor_learning_rate=LEARNING_RATE,
            critic_learning_rate=LEARNING_RATE,
            temp_learning_rate=LEARNING_RATE,
            actor_encoder_factory=encoder,
            critic_encoder_factory=encoder,
            target_update_interval=target_interval(budget),
        )

    def continuous(self, budget: Budget, encoder: EncoderFactory) -> LearnableConfig | None:
        """Returns :class:`d3rlpy.algos.SACConfig`."""
        return SACConfig(
            batch_size=budget.batch_size,
            actor_encoder_factory=encoder,
            critic_encoder_factory=encoder,
        )

    def policy(self, learner: AnyLearner, target_return: float) -> Policy:
        """Returns the stochastic actor; of continuous actions, its mean."""
        if isinstance(learner, DiscreteSAC):
            return ActorPolicy(learner)
        return super().policy(learner, target_return)


class ActorPolicy(LogitsPolicy):
    """The stochastic actor of discrete soft actor-critic."""

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the actor's logits, ``(B, A)``."""
        logits: torch.Tensor = self._learner.impl.modules.policy(x).logits
        return logits
