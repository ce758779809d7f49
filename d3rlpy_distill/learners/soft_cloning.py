"""Behaviour cloning of soft labels: d3rlpy's loss with a distribution in the place of an action."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["soft_cloning_loss", "soft_cloning_terms"]


def soft_cloning_terms(
    network: nn.Module, observations: torch.Tensor, probabilities: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Returns cross-entropy and penalty of :func:`soft_cloning_loss`, each a mean over the batch."""
    # normalised again in float32, as d3rlpy's own loss does: under autocast the network's are rounded
    log_probabilities = F.log_softmax(network(observations).logits.float(), dim=1)
    return -(probabilities * log_probabilities).sum(1).mean(), (log_probabilities**2).mean()


def soft_cloning_loss(
    network: nn.Module, observations: torch.Tensor, probabilities: torch.Tensor, beta: float
) -> torch.Tensor:
    r"""Returns the loss of d3rlpy's ``DiscreteBC`` for labels that are distributions, a mean over the batch.

    .. math::

        L = \frac{1}{B} \sum_i \Big( - \sum_a q_i(a) \log \pi(a|s_i)
            + \frac{\beta}{A} \sum_a \log^2 \pi(a|s_i) \Big)

    With all of :math:`q_i` on one action it is d3rlpy's own loss.

    Args:
        network: The imitator; gives a categorical distribution.
        observations: Scaled, float32 ``(B, ...)``.
        probabilities: :math:`q`, float32 ``(B, A)``, rows that sum to 1.
        beta: Weight of d3rlpy's penalty.
    """
    cross_entropy, penalty = soft_cloning_terms(network, observations, probabilities)
    return cross_entropy + beta * penalty
