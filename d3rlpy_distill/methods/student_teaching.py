"""Students of the real data whose decisions are imitated in the place of the actions that were taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from d3rlpy.algos import BCConfig

from ..data import TransitionArrays
from ..data.mapped import in_pieces
from ..learners.convergence import ConvergenceConfig
from ..learners.learner import build_learner, imitator_actions, learner_network
from .teaching import TeacherTraining

__all__ = ["BATCH_SIZE", "StudentTeaching"]

BATCH_SIZE = 256


class StudentTeaching:
    r"""Trains students of continuous actions on the real data, and labels it with the mean of what they do.

    .. math::

        a_i = \frac{1}{T} \sum_t \pi_{\theta_t}(s_i), \quad
        \theta_t = \arg\min_\theta \sum_j \lVert \pi_\theta(s_j) - a^\mathrm{taken}_j \rVert^2

    Args:
        learner: Theirs, of fitted scalers; its batch size is replaced by 256.
        taught: The real data that they train on.
        data: The real data that they label.
        count: How many, T.
        steps: Of each.
        rng: Draws initialisations, held-out episodes and batches.
        device: torch device.
    """

    def __init__(
        self,
        learner: BCConfig,
        taught: TransitionArrays,
        data: TransitionArrays,
        count: int,
        steps: int,
        rng: np.random.Generator,
        device: str,
    ) -> None:
        self._learner, self._data, self._device = learner, data, device
        self._left = count * steps
        self._training = TeacherTraining(
            dataclasses.replace(learner, batch_size=BATCH_SIZE),
            ConvergenceConfig(steps, check_every=min(100, steps)),
            taught,
            rng,
            device,
        )

    @property
    def done(self) -> bool:
        """Whether all are trained."""
        return not self._left

    def step(self) -> float:
        """Takes a step of the present student and returns its loss."""
        self._left -= 1
        return self._training.step()

    def labelled(self) -> TransitionArrays:
        """Returns the data with the mean of what the students do, so far as they are trained."""
        said = [self._actions(weights) for weights in self._training.weights()]
        return dataclasses.replace(self._data, actions=np.mean(said, axis=0).astype(np.float32))

    def state(self) -> dict[str, Any]:
        """Returns what :meth:`load_state` takes."""
        return {"training": self._training.state(), "left": self._left}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self._training.load_state(state["training"])
        self._left = int(state["left"])

    def _actions(self, weights: Mapping[str, torch.Tensor]) -> npt.NDArray[np.float64]:
        data = self._data
        student = build_learner(
            self._learner, data.observations.shape[1:], data.action_size, seed=0, device=self._device
        )
        learner_network(student).load_state_dict(weights)
        pieces = [imitator_actions(student, torch.from_numpy(one)).numpy() for one in in_pieces(data.observations)]
        actions: npt.NDArray[np.float64] = np.concatenate(pieces).astype(np.float64)
        return actions
