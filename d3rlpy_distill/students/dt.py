"""The decision transformer of context 1 as a student: cloning, conditioned on the return-to-go."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from d3rlpy.algos import DiscreteDecisionTransformerConfig
from d3rlpy.base import LearnableConfig
from d3rlpy.models.encoders import EncoderFactory

from ..learners.learner import AnyLearner
from ..policies import Policy
from .base import Budget
from .stock import LEARNING_RATE, LogitsPolicy, StockStudent

__all__ = ["DecisionTransformerStudent"]


@dataclasses.dataclass(frozen=True)
class DecisionTransformerStudent(StockStudent):
    """d3rlpy's decision transformer, context 1, asked for the return that a tenth of its samples reached."""

    name: ClassVar[str] = "dt"
    one_step: ClassVar[bool] = True
    """Its return-to-go then is the sample's reward, at the same time step always."""

    def discrete(self, budget: Budget, encoder: EncoderFactory) -> LearnableConfig | None:
        """Returns :class:`d3rlpy.algos.DiscreteDecisionTransformerConfig`."""
        tokens = budget.n_steps * budget.batch_size
        return DiscreteDecisionTransformerConfig(
            batch_size=budget.batch_size,
            learning_rate=LEARNING_RATE,
            encoder_factory=encoder,
            context_size=1,
            num_heads=4,
            num_layers=2,
            warmup_tokens=max(1, tokens // 10),
            final_tokens=tokens,
        )

    def policy(self, learner: AnyLearner, target_return: float) -> Policy:
        """Returns the transformer, asked for the return."""
        return ReturnConditionedPolicy(learner, target_return)


class ReturnConditionedPolicy(LogitsPolicy):
    """A decision transformer of context 1, asked for a return.

    Args:
        learner: The transformer.
        target_return: What it is asked for.
    """

    def __init__(self, learner: AnyLearner, target_return: float) -> None:
        super().__init__(learner)
        self._target = target_return

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the logits of the action, ``(B, A)``."""
        one = torch.ones(len(x), 1, device=x.device)
        _, logits = self._learner.impl.modules.transformer(
            x[:, None],
            torch.zeros(len(x), 1, 1, device=x.device),
            self._target * one[..., None],
            one.long(),
            torch.zeros_like(one),
        )
        out: torch.Tensor = logits[:, 0]
        return out
