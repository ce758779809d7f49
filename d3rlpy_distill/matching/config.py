"""Configuration of gradient matching, in the manner of d3rlpy's algorithm configurations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import torch

from ..transitions import TransitionArrays
from .family import DistillationConfig, Objective
from .synthetic import SyntheticSet

__all__ = ["Distance", "GradientMatchingConfig", "Grouping", "ThetaSource"]

Grouping = Literal["action", "batch"]
Distance = Literal["l2", "cosine"]
ThetaSource = Literal["random", "trajectory", "given"]


@dataclasses.dataclass(frozen=True)
class GradientMatchingConfig(DistillationConfig):
    r"""Config of gradient matching.

    Synthetic observations :math:`\phi` with fixed actions are moved so that they give a learner the gradient
    that the real data gives it:

    .. math::

        \min_\phi \; \mathbb{E}_{\theta \sim p_\theta}
            \big[ d( \nabla_\theta L(\theta; D_\mathrm{real}),\; \nabla_\theta L(\theta; D_\phi) ) \big]

    where :math:`L` is the learner's own d3rlpy loss on its own network.

    References:
        * `Light et al., Dataset Distillation for Offline Reinforcement Learning, eq. (2)
          <https://arxiv.org/abs/2407.20299>`_
        * `Zhao et al., Dataset Condensation with Gradient Matching <https://arxiv.org/abs/2006.05929>`_
        * `Kim et al., Dataset Condensation via Efficient Synthetic-Data Parameterization (matching along
          trajectories on real data) <https://arxiv.org/abs/2205.14959>`_

    Args, beside those of :class:`~.family.DistillationConfig`:
        grouping: ``"action"`` matches one gradient for each action, as the paper's code does;
            ``"batch"`` matches the gradient of the whole set.
        distance: ``"l2"`` (squared error, the paper) or ``"cosine"`` (summed over layers).
        theta: Where gradients are taken: ``"random"``, a new initialisation each step;
            ``"trajectory"``, along students trained on the real data; ``"given"``, at weights given to
            :meth:`create` (the authors' runs: the expert's).
        trajectory_length: Steps after which a trajectory begins anew.
        trajectory_stride: Steps of the trajectory between two matches.

    ``real_batch_size`` is for each action if grouped by action. With ``theta="given"`` and None the real
    gradients never change and are computed once.
    """

    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **DistillationConfig.CHOICES,
        "grouping": ("action", "batch"),
        "distance": ("l2", "cosine"),
        "theta": ("random", "trajectory", "given"),
    }
    POSITIVE: ClassVar[tuple[str, ...]] = ("n_samples", "trajectory_length", "trajectory_stride")

    grouping: Grouping = "batch"
    distance: Distance = "l2"
    theta: ThetaSource = "trajectory"
    trajectory_length: int = 100
    trajectory_stride: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.continuous and self.grouping == "action":
            raise ValueError("grouping='action' with BCConfig: continuous actions have no groups; use 'batch'.")

    @property
    def needs_weights(self) -> bool:
        """Whether gradients are matched at given weights."""
        return self.theta == "given"

    def create_objective(
        self,
        data: TransitionArrays,
        samples: SyntheticSet,
        rng: np.random.Generator,
        device: str,
        weights: Mapping[str, torch.Tensor] | None,
    ) -> Objective:
        """Returns the distance of gradients along the sequence of weights that ``theta`` names."""
        from .matcher import GradientObjective
        from .theta import create_theta

        theta = create_theta(self, data, rng, device, weights)
        return GradientObjective(self, theta, data, samples.actions, rng)
