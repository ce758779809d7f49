"""A student: a network, the learner that trains it, and for how long."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from d3rlpy.base import LearnableConfig
from d3rlpy.logging import LoggerAdapterFactory
from d3rlpy.preprocessing import PixelObservationScaler, StandardObservationScaler

from ..data import OfflineDataset
from ..data.training_set import TrainingSet
from ..errors import SettingsError
from ..learners.learner import AnyLearner, build_learner
from ..learners.scalers import fit_scalers
from ..policies import Policy

__all__ = ["PAPER_FULL", "PAPER_SMALL", "Budget", "Student"]


@dataclasses.dataclass(frozen=True)
class Budget:
    """How long a student trains.

    Args:
        n_steps: Gradient steps.
        batch_size: Samples a step.
    """

    n_steps: int
    batch_size: int

    def __post_init__(self) -> None:
        if self.n_steps < 1 or self.batch_size < 1:
            raise SettingsError(f"budget of {self.n_steps} x {self.batch_size}: expected 1 or more each.")

    def __str__(self) -> str:
        return f"{self.n_steps} x {self.batch_size}"


PAPER_FULL = Budget(1000, 256)
"""Students on real data in arXiv 2407.20299."""
PAPER_SMALL = Budget(100, 15)
"""Its students on 150 samples."""


@dataclasses.dataclass(frozen=True)
class Student(abc.ABC):
    """How one kind of student is configured, trained, kept and played. Subclasses are small files.

    A student has no state: what is trained is one of d3rlpy's algorithms, which predicts, saves and loads as any.
    """

    full: ClassVar[Budget] = PAPER_FULL
    """Budget on all data, unless a user gives another."""
    small: ClassVar[Budget] = PAPER_SMALL
    """Budget on a small set."""
    takes_soft_labels: ClassVar[bool] = False
    """Whether it can be trained on distributions in the place of actions."""
    imitates: ClassVar[bool] = False
    """Whether it clones actions and reads no rewards."""

    @abc.abstractmethod
    def learner(self, dataset: OfflineDataset, budget: Budget | None = None) -> LearnableConfig:
        """Returns the d3rlpy configuration, its scalers fitted to the dataset.

        Args:
            dataset: The real data, which gives shapes, the kind of actions and the scale of features; students on
                samples of it see that scale, too.
            budget: Gives the batch size, and whatever else depends on how long a student trains; None gives the
                configuration that distillation matches.

        Raises:
            UnsuitableDatasetError: If the student is not for such data.
        """

    @abc.abstractmethod
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
        """Trains one from scratch and returns the d3rlpy algorithm.

        Args:
            config: From :meth:`learner`.
            data: What to train on. A student that takes soft labels trains on its ``examples``, which are transitions
                and views.
            n_steps: Gradient steps.
            seed: Fixes initial weights and batches.
            device: torch device.
            on_step: Called with each step taken, from 1.
            show_progress: As d3rlpy's ``fit``: show a progress bar, on stderr.
            logger_adapter: As d3rlpy's ``fit``: where metrics and models go, for example
                :class:`d3rlpy.logging.FileAdapterFactory`; None keeps none.
            n_steps_per_epoch: As d3rlpy's ``fit``: steps after which metrics are written and the model is saved, a
                divisor of ``n_steps``; None makes one epoch.

        Raises:
            SettingsError: If ``n_steps_per_epoch`` does not divide ``n_steps``.
        """

    @abc.abstractmethod
    def policy(self, learner: AnyLearner, target_return: float) -> Policy:
        """Returns a trained learner as a policy.

        Args:
            learner: From :meth:`fit`.
            target_return: What a return-conditioned policy is asked for; others do not read it.
        """

    @abc.abstractmethod
    def weights(self, learner: AnyLearner) -> dict[str, torch.Tensor]:
        """Returns what has to be kept of a trained learner."""

    @abc.abstractmethod
    def load_weights(self, learner: AnyLearner, weights: Mapping[str, torch.Tensor]) -> None:
        """Inverse of :meth:`weights`, into a learner of the same configuration."""

    def restore(
        self,
        config: LearnableConfig,
        weights: Mapping[str, torch.Tensor],
        observation_shape: Sequence[int],
        action_size: int,
        *,
        device: str = "cpu:0",
    ) -> AnyLearner:
        """Returns a learner with the weights of one that was trained before."""
        learner = build_learner(config, observation_shape, action_size, seed=0, device=device)
        self.load_weights(learner, weights)
        return learner


def observation_scaler(dataset: OfflineDataset) -> PixelObservationScaler | StandardObservationScaler | None:
    """Returns the scaler for a dataset: pixels to [0, 1], vectors standardised, float images as they are."""
    if dataset.has_images:
        return PixelObservationScaler() if dataset.has_pixels else None
    return StandardObservationScaler()


def fitted(config: LearnableConfig, dataset: OfflineDataset) -> LearnableConfig:
    """Returns the configuration with its scalers fitted to the dataset."""
    fit_scalers(config, dataset.buffer)
    return config


def smallest_side(dataset: OfflineDataset) -> int:
    """Returns the smaller of an image's height and width."""
    return int(np.min(dataset.observation_shape[1:]))
