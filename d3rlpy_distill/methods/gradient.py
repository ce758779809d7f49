"""Gradient matching: samples that give a learner the gradient that the real data gives it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from typing_extensions import Self

from ..data import OfflineDataset, TransitionArrays
from ..errors import SettingsError
from ..learners.gradients import MAX_DEAD, all_dead, is_dead, real_gradient, synthetic_gradient
from ..learners.learner import LearnerConfig, learner_network
from ..options import option
from ..students.base import Student
from .base import Expert
from .distance import DISTANCES
from .moving import MovingMethod, Objective
from .synthetic import SyntheticSet
from .theta import GivenTheta, RandomTheta, Theta, TrajectoryTheta

__all__ = ["GradientMatchingConfig", "GradientObjective"]

VECTOR_TRAJECTORY = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class GradientMatchingConfig(MovingMethod):
    r"""Match the gradients of a learner on real and on synthetic data (arXiv 2407.20299).

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

    Args, beside those of :class:`~.moving.MovingMethod`:
        grouping: ``"action"`` matches one gradient for each action, as the paper's code does;
            ``"batch"`` matches the gradient of the whole set.
        distance: ``"l2"`` (squared error, the paper) or ``"cosine"`` (summed over layers).
        theta: Where gradients are taken: ``"random"``, a new initialisation each step;
            ``"trajectory"``, along students trained on the real data; ``"given"``, at ``weights``
            (the authors' runs: the expert's).
        trajectory_length: Steps after which a trajectory begins anew.
        trajectory_stride: Steps of the trajectory between two matches.
        weights: State of the learner's network, if and only if theta is ``"given"``.

    ``real_batch_size`` is for each action if grouped by action. With ``theta="given"`` and None the real
    gradients never change and are computed once.
    """

    PRESETS: ClassVar[tuple[str, ...]] = ("default", "paper")

    grouping: Literal["action", "batch"] = option("batch", "Gradients to match.", choices=("action", "batch"))
    distance: Literal["l2", "cosine"] = option("l2", "Distance of gradients.", choices=("l2", "cosine"))
    theta: Literal["random", "trajectory", "given"] = option(
        "trajectory",
        "Where to match: given is at the expert's weights.",
        choices=("random", "trajectory", "given"),
    )
    trajectory_length: int = option(100, "Steps of a trajectory.", minimum=1)
    trajectory_stride: int = option(1, "Steps between two matches.", minimum=1)
    weights: Mapping[str, torch.Tensor] | None = dataclasses.field(
        default=None, repr=False, compare=False, metadata={"json": False}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.continuous and self.grouping == "action":
            raise SettingsError("grouping='action' with BCConfig: continuous actions have no groups; use 'batch'.")
        if (self.weights is not None) != (self.theta == "given"):
            raise SettingsError(
                f"weights {'given' if self.weights is not None else 'missing'}: expected if and only if theta is "
                "'given'."
            )

    @classmethod
    def preset(
        cls,
        dataset: OfflineDataset,
        student: Student,
        *,
        name: str = "default",
        settings: Mapping[str, Any] | None = None,
        expert: Callable[[], Expert] | None = None,
    ) -> Self:
        """See :meth:`~.base.Method.preset`. ``"paper"`` is arXiv 2407.20299; it matches at the expert's weights.

        With ``theta="given"`` the learner is the expert itself. The paper's formula, rather than its runs, is the
        preset with another theta: it matches at the student's own network.
        """
        given = dict(settings or {})
        if name == "paper":
            if not (dataset.has_images and dataset.discrete):
                raise SettingsError("preset 'paper' is for images and discrete actions: leave it out.")
            given = {**PAPER, **given}
        if given.get("theta") != "given" or given.get("weights") is not None:
            return super().preset(dataset, student, name=name, settings=given, expert=expert)
        if not student.imitates:
            raise SettingsError("theta 'given' matches at an expert's weights: for students that clone only.")
        if expert is None:
            raise SettingsError("theta 'given': the dataset does not record its expert; name it with --expert.")
        loaded = expert()
        if loaded.learner is None:
            raise SettingsError(
                f"theta 'given' matches at an expert's weights, and {loaded.name} has none that fit."
            )
        learner = loaded.learner()
        given |= {"learner": learner.config, "weights": dict(learner_network(learner).state_dict())}
        return super().preset(dataset, student, name=name, settings=given, expert=expert)

    @classmethod
    def defaults(cls, dataset: OfflineDataset, learner: LearnerConfig, given: Mapping[str, Any]) -> dict[str, Any]:
        """Along trajectories of 200 steps for vectors; otherwise the fields' own."""
        common = super().defaults(dataset, learner, given)
        return common if dataset.has_images else {**common, "trajectory_length": VECTOR_TRAJECTORY}

    def given_weights(self) -> Mapping[str, torch.Tensor] | None:
        """Returns the weights to match at, or None."""
        return self.weights

    def objective(
        self, data: TransitionArrays, samples: SyntheticSet, rng: np.random.Generator, device: str
    ) -> Objective:
        """Returns the distance of gradients along the sequence of weights that ``theta`` names."""
        return GradientObjective(self, self.create_theta(data, rng, device), data, samples.actions, rng)

    def create_theta(self, data: TransitionArrays, rng: np.random.Generator, device: str) -> Theta:
        """Returns the sequence of weights."""
        if self.weights is not None:
            return GivenTheta(self.learner, data, self.weights, device)
        if self.theta == "random":
            return RandomTheta(self.learner, data, rng, device)
        return TrajectoryTheta(
            self.learner, data, rng, device, length=self.trajectory_length, stride=self.trajectory_stride
        )


PAPER: Mapping[str, Any] = {
    "allocation": "even",
    "grouping": "action",
    "distance": "l2",
    "theta": "given",
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "momentum": 0.5,
    "real_batch_size": None,
    "sharpness": None,
    "shared_observations": None,
    "steps": 1000,
}
"""arXiv 2407.20299: SGD 0.1 with momentum 0.5, squared error, 10 samples an action. The paper gives no size of the
real batches: all data is used."""


class GradientObjective:
    """The distance of gradients, summed over groups of samples, at one theta after the other.

    Args:
        config: Distance, grouping and size of the real batches.
        theta: Where gradients are taken.
        data: The real data.
        actions: The samples' actions ``(M,)``, which do not change where they are grouped.
        rng: Draws the real batches.
    """

    def __init__(
        self,
        config: GradientMatchingConfig,
        theta: Theta,
        data: TransitionArrays,
        actions: torch.Tensor,
        rng: np.random.Generator,
    ) -> None:
        self._config, self._theta, self._data, self._rng = config, theta, data, rng
        self._distance = DISTANCES[config.distance]
        if config.grouping == "action":
            present = actions.unique().tolist()
            self._groups = [
                (np.flatnonzero(data.actions == a), torch.nonzero(actions == a).flatten()) for a in present
            ]
        else:
            self._groups = [(np.arange(len(data)), torch.arange(len(actions), device=actions.device))]
        self._constant = config.theta == "given" and config.real_batch_size is None
        self._cached: list[list[torch.Tensor]] | None = None

    def step(self, samples: SyntheticSet) -> float:
        """Adds the gradient of the distance to what is learned of the samples, and returns the distance."""
        total = 0.0
        for (_, mine), real in zip(self._groups, self._real_gradients(), strict=True):
            synthetic = synthetic_gradient(
                self._theta.learner, samples.observations[mine], samples.actions[mine], samples.rewards[mine]
            )
            distance = self._distance(real, synthetic)
            if distance.requires_grad:
                distance.backward(inputs=list(samples.parameters.values()))
            total += float(distance.detach())
        return total

    def advance(self) -> None:
        """Moves on to the next weights."""
        self._theta.advance()

    def state(self) -> dict[str, Any]:
        """Returns what :meth:`load_state` takes."""
        return self._theta.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self._theta.load_state(state)

    def _real_gradients(self) -> list[list[torch.Tensor]]:
        if self._cached is not None:
            return self._cached
        for _ in range(MAX_DEAD):
            gradients = [
                real_gradient(self._theta.learner, self._data, self._batch(members)) for members, _ in self._groups
            ]
            if not all(is_dead(gradient) for gradient in gradients):
                if self._constant:
                    self._cached = gradients
                return gradients
            self._theta.redraw()
        raise all_dead()

    def _batch(self, members: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        size = self._config.real_batch_size
        return members if size is None else self._rng.choice(members, size)
