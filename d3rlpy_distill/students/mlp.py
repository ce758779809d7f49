"""d3rlpy's default network: two layers of 256 for vectors."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from d3rlpy.models.encoders import DefaultEncoderFactory, EncoderFactory

from ..data import OfflineDataset
from .base import Budget
from .cloning import CloningStudent

__all__ = ["MlpStudent"]


@dataclasses.dataclass(frozen=True)
class MlpStudent(CloningStudent):
    """d3rlpy's default network, two layers of 256, on standardised features, Adam at 1e-3."""

    full: ClassVar[Budget] = Budget(2000, 64)
    small: ClassVar[Budget] = Budget(2000, 64)
    match_batch_size: ClassVar[int] = 64

    def encoder(self, dataset: OfflineDataset) -> EncoderFactory:
        """Returns the network; images get d3rlpy's default for them."""
        return DefaultEncoderFactory()
