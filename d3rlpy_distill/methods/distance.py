"""Distances between two gradients, each a list with one tensor for every parameter of the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

__all__ = ["DISTANCES", "layerwise_cosine", "squared_error"]

Gradient = Sequence[torch.Tensor]


def squared_error(real: Gradient, synthetic: Gradient) -> torch.Tensor:
    """Returns the squared Euclidean distance, summed over all parameters (arXiv 2407.20299, eq. 2)."""
    return torch.stack([((r - s) ** 2).sum() for r, s in zip(real, synthetic, strict=True)]).sum()


def layerwise_cosine(real: Gradient, synthetic: Gradient) -> torch.Tensor:
    """Returns the sum over parameter tensors of one minus the cosine of the two gradients.

    Tensors whose real gradient is zero have no direction and count nothing; where the synthetic gradient is
    zero, the cosine is 0.
    """
    terms = [
        1 - (r * s).sum() / (r.norm() * s.norm()).clamp_min(torch.finfo(s.dtype).tiny)
        for r, s in zip(real, synthetic, strict=True)
        if r.any()
    ]
    return torch.stack(terms).sum() if terms else torch.zeros((), device=synthetic[0].device)


DISTANCES: Mapping[str, Callable[[Gradient, Gradient], torch.Tensor]] = {
    "l2": squared_error,
    "cosine": layerwise_cosine,
}
