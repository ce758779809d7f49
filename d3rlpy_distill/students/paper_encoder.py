"""The paper's student network as a d3rlpy encoder."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import torch
from d3rlpy.models.encoders import EncoderFactory, register_encoder_factory
from d3rlpy.models.torch.encoders import Encoder
from torch import nn

from .mean_pool import mean_pool
from .rectify import relu_

__all__ = ["SMALLEST_SIDE", "PaperEncoder", "PaperEncoderFactory"]

CHANNELS = (12, 48, 12, 3)
SMALLEST_SIDE = 2 ** len(CHANNELS)  # what four poolings need


class PaperEncoder(Encoder):  # type: ignore[misc]
    """Four 3x3 convolutions (stride 1, padding 1), each with ReLU and 2x2 average pooling.

    For ``(3, 64, 64)`` it gives 48 features; with d3rlpy's linear head to 15 logits it has 11,826 parameters
    (arXiv 2407.20299, appendix; the paper's own count of 6,966 miscounts the third convolution).

    Args:
        observation_shape: ``(C, H, W)`` with H and W of at least 16.
    """

    def __init__(self, observation_shape: Sequence[int]) -> None:
        super().__init__()
        channels, height, width = observation_shape
        if min(height, width) < SMALLEST_SIDE:
            raise ValueError(f"observations of {height}x{width}: four poolings need at least 16x16.")
        widths = (channels, *CHANNELS)
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in itertools.pairwise(widths))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps float frames ``(B, C, H, W)`` to features ``(B, 3 * (H // 16) * (W // 16))``."""
        for conv in self.convs:
            x = mean_pool(relu_(conv(x)))
        return x.flatten(1)


@dataclasses.dataclass()
class PaperEncoderFactory(EncoderFactory):  # type: ignore[misc]
    """d3rlpy encoder factory of :class:`PaperEncoder` (type ``"distill_paper"``)."""

    def create(self, observation_shape: Sequence[int]) -> PaperEncoder:
        """Returns the encoder for observations ``(C, H, W)``."""
        return PaperEncoder(observation_shape)

    @staticmethod
    def get_type() -> str:
        """Returns the name under which d3rlpy stores this factory."""
        return "distill_paper"


register_encoder_factory(PaperEncoderFactory)
