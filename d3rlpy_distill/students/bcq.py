"""Batch-constrained Q-learning as a student."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from d3rlpy.algos import BCQ, BCQConfig, DiscreteBCQConfig
from d3rlpy.base import LearnableConfig
from d3rlpy.models.encoders import EncoderFactory

from ..learners.learner import AnyLearner
from ..policies import Policy
from .base import Budget
from .stock import LEARNING_RATE, ContinuousActionPolicy, StockStudent, target_interval

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

    def policy(self, learner: AnyLearner, target_return: float) -> Policy:
        """Returns the best action as a policy; of continuous actions, the best of those that it draws."""
        return DrawnActionPolicy(learner) if isinstance(learner, BCQ) else super().policy(learner, target_return)


class DrawnActionPolicy(ContinuousActionPolicy):
    """The best of the actions that the imitator of BCQ draws; every call draws with the same noise.

    Equal calls then give equal actions, and the global generator that d3rlpy draws from is left as it was.
    """

    def actions(self, observations: torch.Tensor) -> torch.Tensor:
        """Maps observations ``(B, ...)`` to float32 actions ``(B, D)``."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return super().actions(observations)
