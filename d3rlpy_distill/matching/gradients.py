"""Gradients of a learner's own loss with respect to its network, on real and on synthetic data."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from d3rlpy.algos import DiscreteBC

from ..learner import learner_loss, learner_network, scale
from ..training import accumulate_gradient
from ..transitions import TransitionArrays

__all__ = ["is_dead", "real_gradient", "synthetic_gradient"]


def real_gradient(learner: DiscreteBC, data: TransitionArrays, batch: npt.NDArray[np.int64]) -> list[torch.Tensor]:
    """Returns the gradient of the mean loss over the transitions ``batch`` (indices), detached.

    Computed as students are trained: in pieces, in bfloat16 where the CPU has it.
    """
    parameters = list(learner_network(learner).parameters())
    for parameter in parameters:
        parameter.grad = None
    accumulate_gradient(learner, data, batch)
    gradient = []
    for parameter in parameters:
        gradient.append(torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)
        parameter.grad = None
    return gradient


def synthetic_gradient(
    learner: DiscreteBC, observations: torch.Tensor, actions: torch.Tensor
) -> list[torch.Tensor]:
    """Returns the gradient of the mean loss over synthetic samples, differentiable in the observations.

    Args:
        learner: The learner.
        observations: Float ``(M, ...)`` in the data's units.
        actions: int64 ``(M,)``.
    """
    parameters = list(learner_network(learner).parameters())
    loss = learner_loss(learner, scale(learner, observations), actions)
    return list(torch.autograd.grad(loss, parameters, create_graph=True))


def is_dead(gradient: list[torch.Tensor]) -> bool:
    """Tells whether the gradient of everything before the last layer is zero.

    The paper's student has three channels before its head; in some initialisations all of them are negative
    everywhere, and then no data moves any weight but the head's bias.
    """
    return not any(bool(g.any()) for g in gradient[:-2])
