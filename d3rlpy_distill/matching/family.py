"""What all distillation methods have in common: the samples, their optimizer, and an objective to step on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from d3rlpy.algos import BCConfig, DiscreteBCConfig

from ..allocation import Allocation
from ..learner import LEARNER_CONFIGS, LearnerConfig, is_value_based
from ..relabel import relabel
from ..transitions import TransitionArrays

if TYPE_CHECKING:
    from ..teachers import Teachers
    from .distiller import Distiller
    from .synthetic import SyntheticSet

__all__ = ["DistillationConfig", "Objective"]

PixelOptimizer = Literal["sgd", "adam"]
OutputDtype = Literal["uint8", "float32"]
Rewards = Literal["return_to_go", "learned"]


class Objective(Protocol):
    """What a method minimises, one step after the other."""

    def step(self, samples: SyntheticSet) -> float:
        """Adds its gradient to what is learned of the samples, and returns its value."""
        ...

    def advance(self) -> None:
        """Moves on, once the samples have been moved."""
        ...

    def finish(self, samples: SyntheticSet) -> None:
        """Completes the samples, after the last step."""
        ...

    def state(self) -> dict[str, Any]:
        """Returns tensors and numbers from which :meth:`load_state` goes on exactly."""
        ...

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        ...


@dataclasses.dataclass(frozen=True)
class DistillationConfig:
    """Base of the methods' configurations.

    Args:
        learner: ``DiscreteBCConfig``, ``DQNConfig``, ``DoubleDQNConfig`` or ``DiscreteCQLConfig`` for discrete
            actions, ``BCConfig`` for continuous ones. Gives the network, the loss (with its beta, discount or
            alpha), the scalers, and where students are trained, optimizer and batch size. What is matched is
            what a student of this configuration trains on.
        n_samples: Size of the synthetic set.
        allocation: ``"even"`` or ``"frequency"``: how the samples are shared out over the actions.
        percent: Distil only the episodes with the highest returns, until this % of the transitions are in (above
            0, at most 100): weight ``w = 1[G0 >= b]`` of arXiv 2407.20299, :func:`~..selection.best_episodes`.
            None distils all.
        sharpness: If given, every action is first drawn anew from the behaviour policy's probabilities to this
            power (:func:`~..relabel.sharpen`), which ``fit`` then needs. For ``DiscreteBCConfig`` only, as rewards
            belong to the actions that were taken. None keeps those.
        shared_observations: None starts each sample from a real transition of its own. K starts all from K real
            observations, each with all actions in the proportions of the whole set: what an observation shows
            then tells nothing of the action until it is moved. For ``DiscreteBCConfig`` only.
        optimizer: ``"sgd"`` or ``"adam"``, on the observations.
        learning_rate: Of the observations: in grey levels of 0 to 255 for pixels (uint8), else in standard
            deviations of each feature.
        label_learning_rate: Of learned actions and rewards, in standard deviations.
        rewards: ``"return_to_go"`` of the real transition that a sample started from (discounted for a
            Q-learner), or ``"learned"``: moved from there, with a Q-learner only, as nothing else reads it.
        learn_actions: Move the actions too; continuous ones only.
        momentum: Of SGD; Adam uses it as its first beta.
        real_batch_size: Real transitions of one step; None takes all there are.
        output_dtype: ``"uint8"`` rounds; only for uint8 data. ``"float32"`` keeps the values.
        seed: Fixes everything random.
    """

    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "allocation": ("even", "frequency"),
        "optimizer": ("sgd", "adam"),
        "output_dtype": ("uint8", "float32"),
        "rewards": ("return_to_go", "learned"),
    }
    POSITIVE: ClassVar[tuple[str, ...]] = ("n_samples",)

    learner: LearnerConfig
    n_samples: int = 150
    allocation: Allocation = "frequency"
    percent: float | None = None
    sharpness: float | None = None
    shared_observations: int | None = None
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
        for field, choices in self.CHOICES.items():
            if getattr(self, field) not in choices:
                raise ValueError(f"{field}={getattr(self, field)!r}: expected one of {', '.join(choices)}.")
        for field in self.POSITIVE:
            if getattr(self, field) < 1:
                raise ValueError(f"{field}={getattr(self, field)}: expected 1 or more.")
        if self.real_batch_size is not None and self.real_batch_size < 1:
            raise ValueError(f"real_batch_size={self.real_batch_size}: expected 1 or more, or None for all.")
        for field in ("learning_rate", "label_learning_rate"):
            if not getattr(self, field) > 0:
                raise ValueError(f"{field}={getattr(self, field)}: expected above 0.")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum={self.momentum}: expected 0 or more and below 1.")
        if self.percent is not None and not 0 < self.percent <= 100:
            raise ValueError(f"percent={self.percent}: expected above 0 and at most 100, or None for all.")
        if self.sharpness is not None and not self.sharpness > 0:
            raise ValueError(f"sharpness={self.sharpness}: expected above 0, or None for the actions as they are.")
        if self.shared_observations is not None and not 1 <= self.shared_observations <= self.n_samples:
            raise ValueError(
                f"shared_observations={self.shared_observations}: expected 1 to n_samples, {self.n_samples}, "
                "or None."
            )
        name = type(self.learner).__name__
        if not isinstance(self.learner, LEARNER_CONFIGS):
            known = ", ".join(config.__name__ for config in LEARNER_CONFIGS)
            raise ValueError(f"learner={name}: expected one of {known}.")
        if self.rewards == "learned" and not is_value_based(self.learner):
            raise ValueError(f"rewards='learned' with {name}: its loss reads no rewards; give a Q-learner.")
        if self.learn_actions and not self.continuous:
            raise ValueError(f"learn_actions with {name}: discrete actions cannot be moved; use BCConfig.")
        for field in ("sharpness", "shared_observations"):
            if getattr(self, field) is not None and not isinstance(self.learner, DiscreteBCConfig):
                raise ValueError(f"{field} with {name}: for DiscreteBCConfig only; leave it None.")

    @property
    def continuous(self) -> bool:
        """Whether the learner is for continuous actions."""
        return isinstance(self.learner, BCConfig)

    def create(
        self,
        device: str = "cpu:0",
        weights: Mapping[str, torch.Tensor] | None = None,
        teachers: Teachers | None = None,
    ) -> Distiller:
        """Returns the distiller.

        Args:
            device: torch device.
            weights: State of the learner's network, where the method matches at given weights.
            teachers: Those of an earlier distillation, for a method that trains some; ``fit`` then takes 0 steps.

        Raises:
            ValueError: If weights are missing, or weights or teachers are given but not asked for.
        """
        from .distiller import Distiller

        if (weights is not None) != self.needs_weights:
            raise ValueError(
                f"weights {'given' if weights is not None else 'missing'}: give weights to create() if and only "
                "if theta is 'given'."
            )
        if teachers is not None and not self.takes_teachers:
            raise ValueError(f"teachers given to {type(self).__name__}: it has none; leave them out.")
        return Distiller(self, device, weights, teachers)

    @property
    def needs_weights(self) -> bool:
        """Whether the method works at given weights."""
        return False

    @property
    def takes_teachers(self) -> bool:
        """Whether the method trains teachers, and can be given them."""
        return False

    def with_targets(
        self, data: TransitionArrays, probabilities: npt.NDArray[np.floating[Any]], rng: np.random.Generator
    ) -> TransitionArrays:
        """Returns the real data with the sharpened policy as what is to be imitated.

        Args:
            data: N transitions.
            probabilities: The behaviour policy's, ``(N, A)``.
            rng: Draws actions.
        """
        assert self.sharpness is not None
        return relabel(data, probabilities, self.sharpness, rng)

    def create_objective(
        self,
        data: TransitionArrays,
        samples: SyntheticSet,
        rng: np.random.Generator,
        device: str,
        weights: Mapping[str, torch.Tensor] | None,
    ) -> Objective:
        """Returns what the method minimises on ``data``."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """Returns the configuration as JSON values."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "learner"}
        return {"method": type(self).__name__, "learner": self.learner.serialize_to_dict(), **fields}
