"""d3rlpy's default network for pixels (Mnih et al. 2015, Nature)."""

from __future__ import annotations

import dataclasses

from d3rlpy.models.encoders import EncoderFactory, PixelEncoderFactory

from ..data import OfflineDataset
from ..errors import UnsuitableDatasetError
from .base import smallest_side
from .cloning import CloningStudent

__all__ = ["SMALLEST_SIDE", "NatureStudent"]

SMALLEST_SIDE = 36  # what its three convolutions leave a pixel of


@dataclasses.dataclass(frozen=True)
class NatureStudent(CloningStudent):
    """d3rlpy's default network for pixels: three convolutions and 512 features, Adam at 1e-3."""

    def encoder(self, dataset: OfflineDataset) -> EncoderFactory:
        """Returns the network, for images of at least 36x36."""
        if not dataset.has_images or smallest_side(dataset) < SMALLEST_SIDE:
            raise UnsuitableDatasetError(
                f"observations of shape {dataset.observation_shape}: the student 'nature' reads images of at least "
                f"{SMALLEST_SIDE}x{SMALLEST_SIDE}; give --student mlp, or see 'rld-distill list students'."
            )
        return PixelEncoderFactory()
