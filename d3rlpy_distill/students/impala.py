"""IMPALA students (Espeholt et al. 2018, figure 3): strong enough to play well from an expert's data."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from d3rlpy.models.encoders import EncoderFactory

from ..data import OfflineDataset
from ..errors import UnsuitableDatasetError
from .base import Budget
from .cloning import CloningStudent
from .impala_encoder import ImpalaEncoderFactory

__all__ = ["ImpalaS2dStudent", "ImpalaStudent"]


@dataclasses.dataclass(frozen=True)
class ImpalaStudent(CloningStudent):
    """IMPALA with channels 16, 32, 32 and 256 features, Adam at 5e-4; 626,256 parameters on Procgen's frames."""

    learning_rate: ClassVar[float] = 5e-4
    full: ClassVar[Budget] = Budget(3000, 256)
    small: ClassVar[Budget] = Budget(1000, 64)
    match_batch_size: ClassVar[int] = 64
    architecture: ClassVar[str] = "impala"
    even: ClassVar[int] = 1

    def encoder(self, dataset: OfflineDataset) -> EncoderFactory:
        """Returns the network, for images."""
        shape = dataset.observation_shape
        if len(shape) != 3 or any(side % self.even for side in shape[1:]):
            raise UnsuitableDatasetError(
                f"observations of shape {shape}: the student {self.architecture!r} reads images"
                f"{' of even height and width' if self.even > 1 else ''}; give --student mlp, or another that "
                "'rld-distill list students' shows."
            )
        return ImpalaEncoderFactory(self.architecture)


@dataclasses.dataclass(frozen=True)
class ImpalaS2dStudent(ImpalaStudent):
    """IMPALA on 2x2 pixels folded into channels: a quarter of the work, 234,336 parameters with both heads."""

    architecture: ClassVar[str] = "impala-s2d"
    even: ClassVar[int] = 2
