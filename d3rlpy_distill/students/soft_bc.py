"""Behaviour cloning of soft labels as an algorithm of d3rlpy: configured, trained, saved and loaded like any other."""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from d3rlpy.algos import DiscreteBC, DiscreteBCConfig
from d3rlpy.algos.qlearning.torch.bc_impl import DiscreteBCImpl
from d3rlpy.base import register_learnable
from d3rlpy.constants import ActionSpace
from d3rlpy.models.torch import DiscreteImitationLoss

from ..learners.soft_cloning import soft_cloning_terms

__all__ = ["SoftBC", "SoftBCConfig"]


@dataclasses.dataclass()
class SoftBCConfig(DiscreteBCConfig):  # type: ignore[misc]
    r"""Config of behaviour cloning of soft labels.

    What is imitated is a distribution over the discrete actions, :math:`q(a|s)`, instead of one of them:

    .. math::

        L(\theta) = \mathbb{E}_{s, q \sim D}
            \Big[ - \sum_a q(a|s) \log \pi_\theta(a|s) + \frac{\beta}{A} \sum_a \log^2 \pi_\theta(a|s) \Big]

    ``fit`` takes a buffer whose actions are the distributions, float32 ``(N, A)``:
    :meth:`d3rlpy_distill.Distilled.to_buffer` with ``soft=True`` gives it. ``predict`` returns discrete actions.

    Args: those of :class:`d3rlpy.algos.DiscreteBCConfig`; beta is 0 by default.
    """

    beta: float = 0.0

    def create(self, device: bool | int | str | None = False, enable_ddp: bool = False) -> SoftBC:
        """Returns the algorithm."""
        return SoftBC(self, device, enable_ddp)

    @staticmethod
    def get_type() -> str:
        """Returns the name under which d3rlpy stores this algorithm."""
        return "soft_bc"


class SoftBCImpl(DiscreteBCImpl):  # type: ignore[misc]
    """d3rlpy's imitator with :func:`~..learners.soft_cloning.soft_cloning_terms` as its loss."""

    def compute_loss(self, obs_t: torch.Tensor, act_t: torch.Tensor) -> DiscreteImitationLoss:
        """Returns the loss for observations ``(B, ...)``, scaled, and distributions ``(B, A)``, or actions ``(B,)``."""
        if not act_t.is_floating_point():  # a method that matches this learner gives the actions that were taken
            act_t = F.one_hot(act_t, self._action_size).float()
        cross_entropy, penalty = soft_cloning_terms(self._modules.imitator, obs_t, act_t)
        penalty = self._beta * penalty
        return DiscreteImitationLoss(
            loss=cross_entropy + penalty, imitation_loss=cross_entropy, regularization_loss=penalty
        )


class SoftBC(DiscreteBC):  # type: ignore[misc]
    """Behaviour cloning of soft labels, see :class:`SoftBCConfig`."""

    _impl: DiscreteBCImpl | None

    def inner_create_impl(self, observation_shape: tuple[int, ...], action_size: int) -> None:
        """Creates the network of ``DiscreteBC``; ``action_size`` is the width of the distributions, A."""
        super().inner_create_impl(observation_shape, action_size)
        assert self._impl is not None
        self._impl = SoftBCImpl(
            observation_shape=observation_shape,
            action_size=action_size,
            modules=self._impl.modules,
            beta=self._config.beta,
            compiled=self.compiled,
            device=self._device,
        )

    def get_action_type(self) -> ActionSpace:
        """Continuous, as d3rlpy sees it: what ``fit`` reads in the place of actions are vectors."""
        return ActionSpace.CONTINUOUS


register_learnable(SoftBCConfig)
