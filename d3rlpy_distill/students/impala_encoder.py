"""The IMPALA network (Espeholt et al. 2018, figure 3) and as a d3rlpy encoder."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from d3rlpy.models.encoders import EncoderFactory, register_encoder_factory
from d3rlpy.models.torch.encoders import Encoder
from torch import nn

__all__ = ["ARCHITECTURES", "ImpalaEncoder", "ImpalaEncoderFactory", "ImpalaNetwork", "fold", "max_pool"]

ARCHITECTURES = ("impala", "impala-s2d", "impoola-s2d")
"""``-s2d`` folds 2x2 pixels into channels first: a quarter of the work in the first block. ``impoola`` averages
each channel over the image before the dense layer (Trumpp et al. 2025, arXiv 2503.05546); its last block has 48
channels, and its first convolution has stride 2 in place of max pooling, a quarter of its work."""

CHANNELS = {"impala": (16, 32, 32), "impala-s2d": (16, 32, 32), "impoola-s2d": (16, 32, 48)}
FEATURES = 256


def max_pool(x: torch.Tensor) -> torch.Tensor:
    """Returns the maximum over 3x3 windows at stride 2, padded by 1: ``(B, C, H, W)``, halved and rounded up.

    Without gradients it is taken along one axis after the other, from slices: the same values, several times
    faster on a CPU than :func:`torch.nn.functional.max_pool2d`, whose backward pass is the faster one.
    """
    if torch.is_grad_enabled() or x.is_cuda:
        return F.max_pool2d(x, 3, stride=2, padding=1)
    return _halve(_halve(x, 3), 2)


def _halve(x: torch.Tensor, axis: int) -> torch.Tensor:
    """Maximum of elements ``2i - 1``, ``2i`` and ``2i + 1`` along an axis."""
    before: tuple[slice, ...] = (slice(None),) * axis
    evens, odds = (*before, slice(0, None, 2)), (*before, slice(1, None, 2))
    even, odd = x[evens], x[odds]
    pairs = torch.maximum(even.narrow(axis, 0, odd.shape[axis]), odd)
    if even.shape[axis] > odd.shape[axis]:
        pairs = torch.cat([pairs, even.narrow(axis, -1, 1)], axis)
    first, rest = pairs.narrow(axis, 0, 1), pairs.narrow(axis, 1, pairs.shape[axis] - 1)
    return torch.cat([first, torch.maximum(rest, odd.narrow(axis, 0, rest.shape[axis]))], axis)


def fold(x: torch.Tensor, factor: int) -> torch.Tensor:
    """Folds pixels into channels as :func:`torch.nn.functional.pixel_unshuffle` does: ``(B, C * factor**2, ...)``.

    On a CPU, without a gradient to the frames, by a convolution that picks each pixel: the same values, three times as
    fast.
    """
    if x.requires_grad or x.is_cuda:
        return F.pixel_unshuffle(x, factor)
    picks = x.shape[1] * factor**2
    kernel = x.new_zeros(picks, picks).fill_diagonal_(1).view(picks, x.shape[1], factor, factor)
    return F.conv2d(x, kernel, stride=factor)


def _convolve(conv: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """Convolves; on a GPU with zeros for the channels up to a multiple of 8, which cuDNN's fast kernels need."""
    missing = -x.shape[1] % 8
    if not x.is_cuda or missing == 0:
        out: torch.Tensor = conv(x)
        return out
    layout = torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    padding = (0, 0, 0, 0, 0, missing)
    padded = F.pad(x, padding).contiguous(memory_format=layout)
    return F.conv2d(padded, F.pad(conv.weight, padding), conv.bias, conv.stride, conv.padding)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_a = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_b = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.conv_b(F.relu(self.conv_a(F.relu(x))))
        out: torch.Tensor = x + h
        return out


class _Block(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1)
        self.pooled = stride == 1
        self.res0 = _Residual(out_channels)
        self.res1 = _Residual(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = _convolve(self.conv, x)
        if self.pooled:
            h = max_pool(h)
        out: torch.Tensor = self.res1(self.res0(h))
        return out


class ImpalaEncoder(Encoder):  # type: ignore[misc]
    """Frames to 256 features.

    Args:
        observation_shape: ``(C, H, W)``.
        architecture: One of :data:`ARCHITECTURES`.
    """

    def __init__(self, observation_shape: Sequence[int], architecture: str = "impala") -> None:
        super().__init__()
        if architecture not in ARCHITECTURES:
            raise ValueError(f"architecture={architecture!r}: expected one of {', '.join(ARCHITECTURES)}.")
        self.unshuffle = 2 if architecture.endswith("-s2d") else 1
        self.pooled = architecture.startswith("impoola")
        channels, height, width = observation_shape
        if height % self.unshuffle or width % self.unshuffle:
            raise ValueError(f"observations of {height}x{width}: {architecture} needs an even height and width.")
        widths = (channels * self.unshuffle**2, *CHANNELS[architecture])
        strides = (2 if self.pooled else 1, 1, 1)
        self.blocks = nn.ModuleList(
            _Block(i, o, stride) for (i, o), stride in zip(itertools.pairwise(widths), strides, strict=True)
        )
        height, width = height // self.unshuffle, width // self.unshuffle
        for _ in CHANNELS[architecture]:
            height, width = (height + 1) // 2, (width + 1) // 2
        self.fc = nn.Linear(widths[-1] * (1 if self.pooled else height * width), FEATURES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps float frames ``(B, C, H, W)`` in [0, 1] to features ``(B, 256)``."""
        return self.features(fold(x, self.unshuffle) if self.unshuffle > 1 else x)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Maps frames that are folded already, ``(B, C * u**2, H / u, W / u)`` where ``u`` is ``unshuffle``."""
        for block in self.blocks:
            x = block(x)
        x = F.relu(x)
        return F.relu(self.fc(x.mean((2, 3)) if self.pooled else x.flatten(1)))


class ImpalaNetwork(ImpalaEncoder):
    """The expert: an :class:`ImpalaEncoder` with a policy and a value head."""

    def __init__(self, observation_shape: Sequence[int], action_size: int, architecture: str) -> None:
        super().__init__(observation_shape, architecture)
        self.policy = nn.Linear(FEATURES, action_size)
        self.value = nn.Linear(FEATURES, 1)

    def policy_and_value(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Maps frames ``(B, C, H, W)`` in [0, 1] to logits ``(B, A)`` and values ``(B,)``."""
        features = self(x)
        return self.policy(features), self.value(features).squeeze(1)


@dataclasses.dataclass()
class ImpalaEncoderFactory(EncoderFactory):  # type: ignore[misc]
    """d3rlpy encoder factory of :class:`ImpalaEncoder` (type ``"impala"``).

    Args:
        architecture: One of :data:`ARCHITECTURES`.
    """

    architecture: str = "impala"

    def create(self, observation_shape: Sequence[int]) -> ImpalaEncoder:
        """Returns the encoder for observations ``(C, H, W)``."""
        return ImpalaEncoder(observation_shape, self.architecture)

    @staticmethod
    def get_type() -> str:
        """Returns the name under which d3rlpy stores this factory."""
        return "impala"


register_encoder_factory(ImpalaEncoderFactory)
