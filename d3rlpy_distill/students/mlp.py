"""d3rlpy's default network: two layers of 256 for vectors."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from d3rlpy.models.encoders import DefaultEncoderFactory, EncoderFactory

from ..data import OfflineDataset
from ..errors import UnsuitableDatasetError
from .base import Budget, smallest_side
from .cloning import CloningStudent
from .nature import SMALLEST_SIDE

__all__ = ["MlpStudent"]


@dataclasses.dataclass(frozen=True)
class MlpStudent(CloningStudent):
    """d3rlpy's default network, two layers of 256, on standardised features, Adam at 1e-3."""

    full: ClassVar[Budget] = Budget(2000, 64)
    small: ClassVar[Budget] = Budget(2000, 64)
    match_batch_size: ClassVar[int] = 64

    def encoder(self, dataset: OfflineDataset) -> EncoderFactory:
        """Returns the network; images of at least 36x36 get d3rlpy's default for them."""
        if dataset.has_images and smallest_side(dataset) < SMALLEST_SIDE:
            raise UnsuitableDatasetError(
                f"observations of shape {dataset.observation_shape}: the student 'mlp' reads vectors, and images of "
                f"at least {SMALLEST_SIDE}x{SMALLEST_SIDE}; give --student impala, or see 'rld-distill list students'."
            )
        return DefaultEncoderFactory()
