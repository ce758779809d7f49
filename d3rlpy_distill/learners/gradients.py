"""Gradients of a learner's own loss with respect to its network, on real and on synthetic data."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from ..data.transitions import TransitionArrays
from ..errors import DistillError
from .batch import Batch
from .learner import Learner, is_value_based, learner_loss, learner_network, scale, scale_labels
from .training import accumulate_gradient

__all__ = ["MAX_DEAD", "all_dead", "is_dead", "real_gradient", "synthetic_gradient"]

MAX_DEAD = 100  # initialisations to try


def real_gradient(learner: Learner, data: TransitionArrays, batch: npt.NDArray[np.int64]) -> list[torch.Tensor]:
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
    learner: Learner,
    observations: torch.Tensor,
    actions: torch.Tensor,
    rewards: torch.Tensor | None = None,
) -> list[torch.Tensor]:
    """Returns the gradient of the mean loss over synthetic samples, differentiable in all that is synthetic.

    A sample is a one-step episode that terminates, as :func:`~..transitions.one_step_buffer` makes it.

    Args:
        learner: The learner.
        observations: Float ``(M, ...)`` in the data's units.
        actions: int64 ``(M,)``, or float32 ``(M, D)``.
        rewards: float32 ``(M,)``; read by Q-learners only.
    """
    parameters = list(learner_network(learner).parameters())
    x = scale(learner, observations)
    actions, rewards = scale_labels(learner, actions, rewards)
    if is_value_based(learner):
        assert rewards is not None
        batch = Batch(x, actions, rewards, terminals=torch.ones_like(rewards))
    else:
        batch = Batch(x, actions)
    loss = learner_loss(learner, batch)
    return list(torch.autograd.grad(loss, parameters, create_graph=True))


def is_dead(gradient: list[torch.Tensor]) -> bool:
    """Tells whether the gradient of everything before the last layer is zero.

    The paper's student has three channels before its head; in some initialisations all of them are negative
    everywhere, and then no data moves any weight but the head's bias.
    """
    return not any(bool(g.any()) for g in gradient[:-2])


def all_dead() -> DistillError:
    """Returns the error to raise when :data:`MAX_DEAD` initialisations in a row were :func:`is_dead`."""
    return DistillError(
        f"the learner's gradient is zero at {MAX_DEAD} initialisations in a row: check its network and scaler."
    )
