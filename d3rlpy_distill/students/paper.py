"""The student of arXiv 2407.20299: four convolutions, 11,826 parameters on Procgen's frames."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from d3rlpy.models.encoders import EncoderFactory

from ..data import OfflineDataset
from ..errors import UnsuitableDatasetError
from .base import smallest_side
from .cloning import CloningStudent
from .paper_encoder import SMALLEST_SIDE, PaperEncoderFactory

__all__ = ["PaperStudent"]


@dataclasses.dataclass(frozen=True)
class PaperStudent(CloningStudent):
    """The paper's CNN, Adam at 5e-3, pixels scaled to [0, 1]."""

    learning_rate: ClassVar[float] = 5e-3

    def encoder(self, dataset: OfflineDataset) -> EncoderFactory:
        """Returns the network, for images of at least 16x16."""
        if not dataset.has_images or smallest_side(dataset) < SMALLEST_SIDE:
            raise UnsuitableDatasetError(
                f"observations of shape {dataset.observation_shape}: the student 'paper' reads images of at least "
                f"{SMALLEST_SIDE}x{SMALLEST_SIDE}; give --student mlp, or see 'rld-distill list students'."
            )
        return PaperEncoderFactory()
