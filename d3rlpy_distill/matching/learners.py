"""Learner configurations for matching, by name and by the kind of the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from d3rlpy.algos import BCConfig, DiscreteBCConfig, DiscreteCQLConfig, DQNConfig
from d3rlpy.constants import ActionSpace
from d3rlpy.dataset import ReplayBufferBase
from d3rlpy.models.encoders import DefaultEncoderFactory
from d3rlpy.preprocessing import MinMaxActionScaler, PixelObservationScaler, StandardObservationScaler

from ..encoders import PaperEncoderFactory
from ..errors import UnsuitableDatasetError
from ..learner import LearnerConfig
from ..scalers import fit_scalers

__all__ = ["LEARNERS", "has_images", "learner_for"]

LEARNERS = ("bc", "dqn", "cql")
SMALLEST_SIDE = 16  # what the paper's four poolings need


def has_images(dataset: ReplayBufferBase) -> bool:
    """Tells whether observations have three axes."""
    return len(_shape(dataset)) == 3


def learner_for(dataset: ReplayBufferBase, name: str = "bc") -> LearnerConfig:
    """Returns a learner that fits a dataset.

    Images of at least 16x16 get the paper's student (Adam at 5e-3, batch 256, beta 0, pixels scaled to [0, 1]);
    vectors d3rlpy's default network (two layers of 256), standardised, Adam at 1e-3, batch 64. Q-learners of
    images learn at 1e-3. Continuous actions are scaled to [-1, 1], the range of d3rlpy's ``BC``. Scalers come
    fitted to the dataset.

    Args:
        dataset: What is to be distilled.
        name: ``"bc"``, ``"dqn"`` or ``"cql"``.

    Raises:
        UnsuitableDatasetError: If there is no such learner for the data.
    """
    if name not in LEARNERS:
        raise ValueError(f"learner={name!r}: expected one of {', '.join(LEARNERS)}.")
    continuous = dataset.dataset_info.action_space == ActionSpace.CONTINUOUS
    if continuous and name != "bc":
        raise UnsuitableDatasetError(f"the dataset's actions are continuous: expected the learner bc, not {name}.")
    common: dict[str, Any]
    if has_images(dataset):
        pixels = np.issubdtype(dataset.dataset_info.observation_signature.dtype[0], np.uint8)
        common = {
            "batch_size": 256,
            "learning_rate": 5e-3 if name == "bc" else 1e-3,
            "encoder_factory": PaperEncoderFactory()
            if min(_sides(dataset)) >= SMALLEST_SIDE
            else DefaultEncoderFactory(),
            "observation_scaler": PixelObservationScaler() if pixels else None,
        }
    else:
        common = {
            "batch_size": 64,
            "learning_rate": 1e-3,
            "encoder_factory": DefaultEncoderFactory(),
            "observation_scaler": StandardObservationScaler(),
        }
    config: LearnerConfig
    if continuous:
        config = BCConfig(action_scaler=MinMaxActionScaler(), **common)
    elif name == "bc":
        config = DiscreteBCConfig(beta=0.0, **common)
    else:
        config = (DQNConfig if name == "dqn" else DiscreteCQLConfig)(target_update_interval=100, **common)
    fit_scalers(config, dataset)
    return config


def _shape(dataset: ReplayBufferBase) -> Sequence[int]:
    shape: Sequence[int] = dataset.dataset_info.observation_signature.shape[0]
    return shape


def _sides(dataset: ReplayBufferBase) -> list[int]:
    """Height and width: the two longer axes."""
    return sorted(_shape(dataset))[1:]
