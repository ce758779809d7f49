"""A student in one file: a linear policy on coarse pixels, trained as any cloning student.

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

SIDE = 8


class CoarseEncoder(Encoder):
    """Averages images ``(B, C, H, W)`` over a grid of 8x8 cells: features ``(B, 64 * C)``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(x, SIDE).flatten(1)


@dataclasses.dataclass()
class CoarseEncoderFactory(EncoderFactory):
    """d3rlpy creates the encoder by it, and finds it again when it loads a student."""

    def create(self, observation_shape: Sequence[int]) -> CoarseEncoder:
        return CoarseEncoder()

    @staticmethod
    def get_type() -> str:
        return "coarse"


register_encoder_factory(CoarseEncoderFactory)


@register_student("coarse")
@dataclasses.dataclass(frozen=True)
class CoarseStudent(CloningStudent):
    """A linear policy on 8x8 averaged pixels, Adam at 1e-2."""

    learning_rate: ClassVar[float] = 1e-2
    small: ClassVar[Budget] = Budget(300, 32)

    def encoder(self, dataset: OfflineDataset) -> EncoderFactory:
        return CoarseEncoderFactory()
