"""The training of teachers, which are students of all the data: one after the other, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..data import TransitionArrays
from ..learners.convergence import ConvergenceConfig, ConvergenceRun
from ..learners.gradients import MAX_DEAD, all_dead, is_dead, real_gradient
from ..learners.learner import Learner, LearnerConfig, learner_network

__all__ = ["TeacherTraining"]


class TeacherTraining:
    """Teachers of one configuration, each trained to convergence.

    Args:
        learner: Their learner.
        convergence: How one trains.
        data: The real data.
        rng: Draws initialisations, held-out episodes and batches.
        device: torch device.
    """

    def __init__(
        self,
        learner: LearnerConfig,
        convergence: ConvergenceConfig,
        data: TransitionArrays,
        rng: np.random.Generator,
        device: str,
    ) -> None:
        self._learner, self._convergence = learner, convergence
        self._data, self._rng, self._device = data, rng, device
        self._finished: list[dict[str, torch.Tensor]] = []
        self._run: ConvergenceRun | None = None  # begun by a step: given teachers need none

    def step(self) -> float:
        """Takes a step of the present teacher and returns its loss."""
        if self._run is None:
            self._run = self._begin()
        loss = self._run.step()
        if self._run.done:
            self._finished.append(_weights(self._run.finish()))
            self._run = None
        return loss

    def weights(self) -> list[dict[str, torch.Tensor]]:
        """Returns the networks' weights of those trained so far, the present one as it is."""
        return [*self._finished, *([] if self._run is None else [_weights(self._run.finish())])]

    def state(self) -> dict[str, Any]:
        """Returns what :meth:`load_state` takes."""
        return {"finished": self._finished, "run": None if self._run is None else self._run.state()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self._finished = list(state["finished"])
        if state["run"] is not None:
            self._run = self._begin()
            self._run.load_state(state["run"])

    def _begin(self) -> ConvergenceRun:
        """A new teacher, of an initialisation that learns."""
        for _ in range(MAX_DEAD):
            run = ConvergenceRun(
                self._learner,
                self._data,
                self._convergence,
                seed=int(self._rng.integers(2**63)),
                rng=self._rng,
                device=self._device,
            )
            batch = self._rng.integers(len(self._data), size=self._learner.batch_size)
            if not is_dead(real_gradient(run.learner, self._data, batch)):
                return run
        raise all_dead()


def _weights(learner: Learner) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in learner_network(learner).state_dict().items()}
