"""Ridge regression from samples with the kernel of a policy's last layers: what training on them would lead to."""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from d3rlpy.algos import BC, DiscreteBC
from torch import nn

from ..learners.learner import learner_features

__all__ = ["LastLayers", "dense_layer", "kernels", "last_layers", "ridge_regression"]


@dataclasses.dataclass(frozen=True)
class LastLayers:
    """What the last layers of a policy read of B observations, and a constant 1 for their biases.

    Args:
        features: Of the last layer, ``(B, F + 1)``.
        inputs: Of the dense layer before it, ``(B, D + 1)``; None without one.
        gates: Which of that layer's F outputs are above 0, ``(B, F)`` of 0 and 1; None without one.
    """

    features: torch.Tensor
    inputs: torch.Tensor | None = None
    gates: torch.Tensor | None = None


def dense_layer(learner: DiscreteBC | BC, x: torch.Tensor) -> nn.Linear | None:
    """Returns the dense layer whose outputs, with ReLU, a policy's last layer reads; None where there is none.

    Args:
        learner: The imitator.
        x: One or more scaled observations to try it with, ``(B, ...)``.
    """
    dense = [one for one in learner.impl.modules.imitator._encoder.modules() if isinstance(one, nn.Linear)]
    if not dense:
        return None
    seen: list[torch.Tensor] = []
    handle = dense[-1].register_forward_hook(lambda _, inputs, output: seen.append(output))
    try:
        with torch.no_grad():
            features = learner_features(learner, x)
    finally:
        handle.remove()
    read = len(seen) == 1 and seen[0].shape == features.shape and torch.equal(F.relu(seen[0]), features)
    return dense[-1] if read else None


def last_layers(
    learner: DiscreteBC | BC, x: torch.Tensor, dense: nn.Linear | None, dtype: torch.dtype
) -> LastLayers:
    """Returns what the last layers read of scaled observations ``(B, ...)``, differentiable.

    Args:
        learner: The imitator.
        x: Scaled observations.
        dense: What :func:`dense_layer` found; None reads the last layer alone.
        dtype: Of what is returned.
    """
    if dense is None:
        return LastLayers(_with_one(learner_features(learner, x), dtype))
    seen: list[torch.Tensor] = []
    handle = dense.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        features = learner_features(learner, x)
    finally:
        handle.remove()
    gates = (features.detach() > 0).to(dtype)
    return LastLayers(_with_one(features, dtype), _with_one(seen[0], dtype), gates)


def kernels(real: LastLayers, samples: LastLayers, tangent: float) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Returns the kernel of M samples among themselves ``(M, M)``, and of N real observations with them ``(N, M)``.

    With the features :math:`\phi`, the last layer's kernel is :math:`\phi(s)^T \phi(s')`. That of the dense layer
    before it is :math:`h(s)^T h(s') \, g(s)^T g(s')`, h its inputs and g its gates: the tangent kernel (Jacot et al.
    2018, arXiv 1806.07572) for last weights of one size. Each is divided by its mean diagonal on the samples, and the
    second counts ``tangent``, from 0 to 1. Without a dense layer there is the first alone.
    """
    last = _pair(real.features, samples.features)
    if not tangent or real.inputs is None or samples.inputs is None:
        return last
    assert real.gates is not None and samples.gates is not None
    read, passed = _pair(real.inputs, samples.inputs), _pair(real.gates, samples.gates)
    dense = (read[0] * passed[0], read[1] * passed[1])
    # a layer that no sample passes has a kernel of zeros, and adds none
    sizes = [one[0].diagonal().mean().clamp_min(torch.finfo(one[0].dtype).tiny) for one in (last, dense)]
    of_last, of_dense = (1 - tangent) / sizes[0], tangent / sizes[1]
    return of_last * last[0] + of_dense * dense[0], of_last * last[1] + of_dense * dense[1]


def ridge_regression(
    within: torch.Tensor, across: torch.Tensor, targets: torch.Tensor, ridge: float
) -> torch.Tensor:
    """Returns what kernel ridge regression on M samples predicts for N observations, ``(N, A)``, differentiable.

    Args:
        within: Kernel of the samples, ``(M, M)``.
        across: Kernel of the observations with the samples, ``(N, M)``.
        targets: Of the samples, ``(M, A)``.
        ridge: What is added to the diagonal of ``within``, as a share of its mean.
    """
    weight = ridge * within.diagonal().mean()
    regular = within + weight * torch.eye(len(within), device=within.device, dtype=within.dtype)
    solved: torch.Tensor = torch.linalg.solve(regular, targets)
    return across @ solved


def _pair(real: torch.Tensor, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The samples' products among themselves, and the real observations' with them."""
    return samples @ samples.T, real @ samples.T


def _with_one(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return F.pad(values.to(dtype), (0, 1), value=1.0)
