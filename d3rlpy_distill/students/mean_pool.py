"""Averages over 2x2 windows, several times faster on a CPU than :func:`torch.nn.functional.avg_pool2d`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch.autograd.function import FunctionCtx

__all__ = ["mean_pool"]

SIDE = 2
SHARE = 1 / SIDE**2


def mean_pool(x: torch.Tensor) -> torch.Tensor:
    """Returns the mean over 2x2 windows: ``(B, C, H, W)``, halved and rounded down.

    The values and gradients of :func:`torch.nn.functional.avg_pool2d`, bit for bit. That is slow where there are fewer
    channels than a vector register holds.
    """
    if x.is_cuda:
        return F.avg_pool2d(x, SIDE)
    if not x.requires_grad:  # a trace cannot hold a function of autograd's
        return _means(x)
    pooled: torch.Tensor = _Mean.apply(x)  # type: ignore[no-untyped-call]
    return pooled


def _means(x: torch.Tensor) -> torch.Tensor:
    """The mean as a convolution of each channel."""
    channels = x.shape[1]
    return F.conv2d(x, x.new_full((channels, 1, SIDE, SIDE), SHARE), stride=SIDE, groups=channels)


class _Sized(FunctionCtx):
    """What the mean keeps for its gradient: the image's height and width."""

    size: torch.Size


class _Mean(torch.autograd.Function):
    """The mean; its adjoint is :class:`_Spread`. A convolution's own is slower."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor) -> torch.Tensor:
        return _means(x)

    @staticmethod
    def setup_context(ctx: _Sized, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        ctx.size = inputs[0].shape[-2:]

    @staticmethod
    def backward(ctx: _Sized, gradient: torch.Tensor) -> torch.Tensor:
        spread: torch.Tensor = _Spread.apply(gradient, ctx.size)  # type: ignore[no-untyped-call]
        return spread


class _Spread(torch.autograd.Function):
    """A quarter of each value to each pixel of its window; its adjoint is :class:`_Mean`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(gradient: torch.Tensor, size: torch.Size) -> torch.Tensor:
        spread = F.interpolate(gradient * SHARE, scale_factor=SIDE, mode="nearest")
        height, width = (whole - half for whole, half in zip(size, spread.shape[-2:], strict=True))
        return F.pad(spread, (0, width, 0, height)) if height or width else spread

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[torch.Tensor, torch.Size], output: torch.Tensor) -> None: ...

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return mean_pool(gradient), None
