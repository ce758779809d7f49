"""Behaviour cloning with any network: d3rlpy's ``DiscreteBC`` and ``BC``, trained several times faster than ``fit``."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import ClassVar, cast

import torch
from d3rlpy.algos import BC, BCConfig, DiscreteBC, DiscreteBCConfig
from d3rlpy.base import LearnableConfig
from d3rlpy.logging import LoggerAdapterFactory
from d3rlpy.models.encoders import EncoderFactory
from d3rlpy.preprocessing import MinMaxActionScaler

from ..data import OfflineDataset
from ..data.training_set import TrainingSet
from ..learners.learner import AnyLearner, imitator_actions, imitator_logits, keep_heap, learner_network
from ..learners.training import train_learner
from ..learners.watching import Watching
from ..policies import Policy
from .base import Budget, Student, fitted, observation_scaler

__all__ = ["CloningStudent", "ImitatorPolicy", "RegressorPolicy"]


class ImitatorPolicy:
    """A trained ``DiscreteBC`` as a policy.

    Args:
        learner: The student.
    """

    def __init__(self, learner: DiscreteBC) -> None:
        self.learner = learner
        keep_heap()

    def logits(self, observations: torch.Tensor) -> torch.Tensor:
        """Maps observations of any dtype ``(B, ...)`` to float32 log-probabilities ``(B, A)``."""
        return imitator_logits(self.learner, observations)


class RegressorPolicy:
    """A trained ``BC`` as a policy of continuous actions.

    Args:
        learner: The student.
    """

    def __init__(self, learner: BC) -> None:
        self.learner = learner
        keep_heap()

    def actions(self, observations: torch.Tensor) -> torch.Tensor:
        """Maps observations ``(B, ...)`` to float32 actions ``(B, D)`` in the task's units."""
        return imitator_actions(self.learner, observations)


@dataclasses.dataclass(frozen=True)
class CloningStudent(Student):
    """A cloning student; a subclass names its network, and its learning rate where it has one of its own.

    Adam, beta 0: d3rlpy's default of 0.5 penalises log-probabilities so strongly that the probability of a clean
    label cannot exceed 0.28. Continuous actions are scaled to [-1, 1], the range of d3rlpy's ``BC``.
    """

    takes_soft_labels: ClassVar[bool] = True
    imitates: ClassVar[bool] = True
    learning_rate: ClassVar[float] = 1e-3
    match_batch_size: ClassVar[int] = 256
    """Of the learner that distillation matches."""

    @abc.abstractmethod
    def encoder(self, dataset: OfflineDataset) -> EncoderFactory:
        """Returns the network.

        Raises:
            UnsuitableDatasetError: If it cannot read such observations.
        """

    def learner(self, dataset: OfflineDataset, budget: Budget | None = None) -> LearnableConfig:
        """Returns the configuration of ``DiscreteBC``, or of ``BC`` where actions are continuous."""
        batch_size = self.match_batch_size if budget is None else budget.batch_size
        encoder, scaler = self.encoder(dataset), observation_scaler(dataset)
        if dataset.discrete:
            config = DiscreteBCConfig(
                batch_size=batch_size,
                learning_rate=self.learning_rate,
                encoder_factory=encoder,
                observation_scaler=scaler,
                beta=0.0,
            )
        else:
            config = BCConfig(
                batch_size=batch_size,
                learning_rate=self.learning_rate,
                encoder_factory=encoder,
                observation_scaler=scaler,
                action_scaler=MinMaxActionScaler(),
            )
        return fitted(config, dataset)

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
        """Trains by :func:`~..learners.training.train_learner`."""
        watching = Watching(on_step, show_progress, logger_adapter, n_steps_per_epoch)
        return train_learner(config, data.examples, n_steps, seed=seed, device=device, watching=watching)

    def policy(self, learner: AnyLearner, target_return: float) -> Policy:
        """Returns the imitator as a policy."""
        return ImitatorPolicy(learner) if isinstance(learner, DiscreteBC) else RegressorPolicy(cast(BC, learner))

    def weights(self, learner: AnyLearner) -> dict[str, torch.Tensor]:
        """Returns the imitator's weights."""
        return dict(learner_network(learner).state_dict())

    def load_weights(self, learner: AnyLearner, weights: Mapping[str, torch.Tensor]) -> None:
        """Inverse of :meth:`weights`."""
        learner_network(learner).load_state_dict(weights)
