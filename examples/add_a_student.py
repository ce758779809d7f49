"""A student in one file: one convolution that sees 8x8 patches, trained as any cloning student.

rld-distill evaluate data/starpilot.h5 data/starpilot-150.h5 --plugin examples/add_a_student.py --student coarse
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import torch
from d3rlpy.models.encoders import EncoderFactory, register_encoder_factory
from d3rlpy.models.torch.encoders import Encoder

from d3rlpy_distill import Budget, CloningStudent, OfflineDataset, register_student

PATCH, CHANNELS = 8, 16


class CoarseEncoder(Encoder):
    """Maps images ``(B, C, H, W)`` to 16 features of each 8x8 patch, ``(B, 16 * (H // 8) * (W // 8))``."""

    def __init__(self, observation_shape: Sequence[int]) -> None:
        super().__init__()
        self.patches = torch.nn.Conv2d(observation_shape[0], CHANNELS, PATCH, stride=PATCH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.patches(x)).flatten(1)


@dataclasses.dataclass()
class CoarseEncoderFactory(EncoderFactory):
    """d3rlpy creates the encoder by it, and finds it again when it loads a student."""

    def create(self, observation_shape: Sequence[int]) -> CoarseEncoder:
        return CoarseEncoder(observation_shape)

    @staticmethod
    def get_type() -> str:
        return "coarse"


register_encoder_factory(CoarseEncoderFactory)


@register_student("coarse")
@dataclasses.dataclass(frozen=True)
class CoarseStudent(CloningStudent):
    """One convolution of 8x8 patches, Adam at 1e-3."""

    learning_rate: ClassVar[float] = 1e-3
    small: ClassVar[Budget] = Budget(300, 32)

    def encoder(self, dataset: OfflineDataset) -> EncoderFactory:
        return CoarseEncoderFactory()
