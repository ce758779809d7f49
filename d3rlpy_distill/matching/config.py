"""Configuration of gradient matching, in the manner of d3rlpy's algorithm configurations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from d3rlpy.algos import BCConfig

from ..allocation import Allocation
from ..learner import LEARNER_CONFIGS, LearnerConfig, is_value_based

if TYPE_CHECKING:
    from .distiller import GradientMatching

__all__ = ["Distance", "GradientMatchingConfig", "Grouping", "OutputDtype", "PixelOptimizer", "ThetaSource"]

Grouping = Literal["action", "batch"]
Distance = Literal["l2", "cosine"]
ThetaSource = Literal["random", "trajectory", "given"]
PixelOptimizer = Literal["sgd", "adam"]
OutputDtype = Literal["uint8", "float32"]
Rewards = Literal["return_to_go", "learned"]

CHOICES: Mapping[str, tuple[str, ...]] = {
    "grouping": ("action", "batch"),
    "distance": ("l2", "cosine"),
    "theta": ("random", "trajectory", "given"),
    "optimizer": ("sgd", "adam"),
    "allocation": ("even", "frequency"),
    "output_dtype": ("uint8", "float32"),
    "rewards": ("return_to_go", "learned"),
}


@dataclasses.dataclass(frozen=True)
class GradientMatchingConfig:
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

    Args:
        learner: ``DiscreteBCConfig``, ``DQNConfig``, ``DoubleDQNConfig`` or ``DiscreteCQLConfig`` for discrete
            actions, ``BCConfig`` for continuous ones. Gives the network, the loss (with its beta, discount or
            alpha), the scalers and, for trajectories, optimizer and batch size. What is matched is what a
            student of this configuration trains on.
        n_samples (int): Size of the synthetic set.
        allocation (str): ``"even"`` or ``"frequency"``: how the samples are shared out over the actions.
        grouping (str): ``"action"`` matches one gradient for each action, as the paper's code does;
            ``"batch"`` matches the gradient of the whole set.
        distance (str): ``"l2"`` (squared error, the paper) or ``"cosine"`` (summed over layers).
        theta (str): Where gradients are taken: ``"random"``, a new initialisation each step;
            ``"trajectory"``, along students trained on the real data; ``"given"``, at weights given to
            :meth:`create` (the authors' runs: the expert's).
        trajectory_length (int): Steps after which a trajectory begins anew.
        trajectory_stride (int): Steps of the trajectory between two matches.
        optimizer (str): ``"sgd"`` or ``"adam"``, on the observations.
        learning_rate (float): Of the observations: in grey levels of 0 to 255 for pixels (uint8), else in standard
            deviations of each feature.
        label_learning_rate (float): Of learned actions and rewards, in standard deviations.
        rewards (str): ``"return_to_go"`` of the real transition that a sample started from (discounted for a
            Q-learner), or ``"learned"``: moved from there, with a Q-learner only, as nothing else reads it.
        learn_actions (bool): Move the actions too; continuous ones only.
        momentum (float): Of SGD; Adam uses it as its first beta.
        real_batch_size (int | None): Real transitions for one gradient (for each action, if grouped by
            action); None takes all there are. With ``theta="given"`` and None the real gradients never
            change and are computed once.
        output_dtype (str): ``"uint8"`` rounds; only for uint8 data. ``"float32"`` keeps the values.
        seed (int): Fixes everything random.
    """

    learner: LearnerConfig
    n_samples: int = 150
    allocation: Allocation = "frequency"
    grouping: Grouping = "batch"
    distance: Distance = "l2"
    theta: ThetaSource = "trajectory"
    trajectory_length: int = 100
    trajectory_stride: int = 1
    optimizer: PixelOptimizer = "adam"
    learning_rate: float = 1.0
    label_learning_rate: float = 0.01
    rewards: Rewards = "return_to_go"
    learn_actions: bool = False
    momentum: float = 0.5
    real_batch_size: int | None = 256
    output_dtype: OutputDtype = "uint8"
    seed: int = 0

    def __post_init__(self) -> None:
        for field, choices in CHOICES.items():
            if getattr(self, field) not in choices:
                raise ValueError(f"{field}={getattr(self, field)!r}: expected one of {', '.join(choices)}.")
        for field in ("n_samples", "trajectory_length", "trajectory_stride"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field}={getattr(self, field)}: expected 1 or more.")
        if self.real_batch_size is not None and self.real_batch_size < 1:
            raise ValueError(f"real_batch_size={self.real_batch_size}: expected 1 or more, or None for all.")
        for field in ("learning_rate", "label_learning_rate"):
            if not getattr(self, field) > 0:
                raise ValueError(f"{field}={getattr(self, field)}: expected above 0.")
        self._check_learner()
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum={self.momentum}: expected 0 or more and below 1.")

    def _check_learner(self) -> None:
        name = type(self.learner).__name__
        if not isinstance(self.learner, LEARNER_CONFIGS):
            known = ", ".join(config.__name__ for config in LEARNER_CONFIGS)
            raise ValueError(f"learner={name}: expected one of {known}.")
        if self.rewards == "learned" and not is_value_based(self.learner):
            raise ValueError(f"rewards='learned' with {name}: its loss reads no rewards; give a Q-learner.")
        continuous = isinstance(self.learner, BCConfig)
        if self.learn_actions and not continuous:
            raise ValueError(f"learn_actions with {name}: discrete actions cannot be moved; use BCConfig.")
        if continuous and self.grouping == "action":
            raise ValueError("grouping='action' with BCConfig: continuous actions have no groups; use 'batch'.")

    def create(self, device: str = "cpu:0", weights: Mapping[str, torch.Tensor] | None = None) -> GradientMatching:
        """Returns the distiller.

        Args:
            device: torch device.
            weights: State of the learner's network, for ``theta="given"``.

        Raises:
            ValueError: If weights are missing, or given but not asked for.
        """
        from .distiller import GradientMatching

        return GradientMatching(self, device, weights)

    def to_json(self) -> dict[str, Any]:
        """Returns the configuration as JSON values."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "learner"}
        return {"learner": self.learner.serialize_to_dict(), **fields}
