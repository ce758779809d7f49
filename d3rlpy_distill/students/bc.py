"""Behaviour cloning by d3rlpy's own fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import ClassVar

from d3rlpy.algos import BCConfig, DiscreteBC, DiscreteBCConfig
from d3rlpy.base import LearnableConfig
from d3rlpy.logging import LoggerAdapterFactory
from d3rlpy.models.encoders import EncoderFactory

from ..data.training_set import TrainingSet
from ..learners.learner import AnyLearner
from ..policies import Policy
from .base import Budget
from .cloning import ImitatorPolicy
from .paper import PaperStudent
from .soft_bc import SoftBCConfig
from .stock import StockStudent

__all__ = ["StockCloningStudent"]


@dataclasses.dataclass(frozen=True)
class StockCloningStudent(StockStudent):
    """d3rlpy's own behaviour cloning, trained by its own fit."""

    name: ClassVar[str] = "bc"
    imitates: ClassVar[bool] = True
    takes_soft_labels: ClassVar[bool] = True

    def discrete(self, budget: Budget, encoder: EncoderFactory) -> LearnableConfig | None:
        """Returns :class:`d3rlpy.algos.DiscreteBCConfig`, beta 0."""
        return DiscreteBCConfig(
            batch_size=budget.batch_size,
            learning_rate=PaperStudent.learning_rate,
            encoder_factory=encoder,
            beta=0.0,
        )

    def continuous(self, budget: Budget, encoder: EncoderFactory) -> LearnableConfig | None:
        """Returns :class:`d3rlpy.algos.BCConfig`."""
        return BCConfig(batch_size=budget.batch_size, encoder_factory=encoder)

    def fit(
        self,
        config: LearnableConfig,
        data: TrainingSet,
        n_steps: int,
        *,
        seed: int,
        device: str = "cpu:0",
        on_step: Callable[[int], None] | None = None,
        show_progress: bool = False,
        logger_adapter: LoggerAdapterFactory | None = None,
        n_steps_per_epoch: int | None = None,
    ) -> AnyLearner:
        """Trains by d3rlpy's own ``fit``; soft labels as :class:`~.soft_bc.SoftBC`, with the same settings."""
        samples = data.examples
        if samples.probabilities is not None:
            fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
            config = SoftBCConfig(**fields)
            data = TrainingSet(dataclasses.replace(samples, actions=samples.probabilities, probabilities=None))
        return super().fit(
            config,
            data,
            n_steps,
            seed=seed,
            device=device,
            on_step=on_step,
            show_progress=show_progress,
            logger_adapter=logger_adapter,
            n_steps_per_epoch=n_steps_per_epoch,
        )

    def policy(self, learner: AnyLearner, target_return: float) -> Policy:
        """Returns the imitator as a policy."""
        if isinstance(learner, DiscreteBC):
            return ImitatorPolicy(learner)
        return super().policy(learner, target_return)
