"""Unrolled matching: the real loss of a student, differentiated through its training on the samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..data import TransitionArrays
from ..errors import SettingsError
from ..learners.batch import Batch
from ..learners.learner import scale, scale_labels
from ..learners.training import draw_learner, make_batch
from ..options import option
from .decisions import DecisionMethod, RealRows
from .differentiable import DifferentiableStudent, StudentState, check_plain_adam
from .moving import Objective
from .synthetic import SyntheticSet

__all__ = ["UnrolledMatchingConfig", "UnrolledObjective"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnrolledMatchingConfig(DecisionMethod):
    r"""Differentiate the real loss of a student through a window of its training on the samples.

    A student trains on the samples with its own optimizer, from a random initialisation. Every ``window`` of its
    steps are unrolled, and the samples are moved so that the student they lead to fits the real data:

    .. math::

        \min_\phi \; \mathbb{E}_{\theta_0, t} \big[ L(\theta_{t+W}(\phi); D_\mathrm{real}) \big], \quad
        \theta_{k+1} = \mathrm{Adam}(\theta_k, \nabla_\theta L(\theta_k; D_\phi))

    The gradient goes through the last W steps only; the student then trains on from where it is, and begins anew
    after a number of steps drawn evenly from W to ``horizon``, so that every phase of training is matched.

    References:
        * `Feng et al., Embarrassingly Simple Dataset Distillation (RaT-BPTT) <https://arxiv.org/abs/2311.07025>`_
        * `Wang et al., Dataset Distillation <https://arxiv.org/abs/1811.10959>`_

    Args, beside those of :class:`~.decisions.DecisionMethod`:
        window: Steps that are differentiated through, W.
        horizon: Steps after which a student begins anew at the latest; students that are to learn from the samples
            should train about as long.
    """

    window: int = option(20, "Steps to differentiate through.", minimum=1)
    horizon: int = option(200, "Steps after which a student begins anew at the latest.", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reads_rewards:
            raise SettingsError(
                f"unrolled matching with {type(self.learner).__name__}: it is for imitation; give "
                "DiscreteBCConfig or BCConfig, or match gradients instead."
            )
        check_plain_adam(self.learner)
        if self.horizon < self.window:
            raise SettingsError(f"horizon={self.horizon}: expected at least the window, {self.window}.")

    def objective(
        self, data: TransitionArrays, samples: SyntheticSet, rng: np.random.Generator, device: str
    ) -> Objective:
        """Returns the real loss after a window of training on the samples."""
        return UnrolledObjective(self, data, self.real_rows(data), rng, device)


class UnrolledObjective:
    """See :class:`UnrolledMatchingConfig`.

    Args:
        config: Its configuration.
        data: The real data.
        real: Draws real batches.
        rng: Draws initialisations, horizons and batches.
        device: torch device.
    """

    _state: StudentState
    _horizon: int

    def __init__(
        self,
        config: UnrolledMatchingConfig,
        data: TransitionArrays,
        real: RealRows,
        rng: np.random.Generator,
        device: str,
    ) -> None:
        self._config, self._data, self._real, self._rng, self._device = config, data, real, rng, device
        self._begin()

    def step(self, samples: SyntheticSet) -> float:
        """Adds the gradient of the real loss after the next window, and returns that loss."""
        student = DifferentiableStudent(self._learner, self._state)
        observations, actions = samples.observations, samples.actions
        size = self._config.learner.batch_size
        for _ in range(self._config.window):
            rows = torch.from_numpy(self._rng.integers(len(actions), size=size))
            x = scale(self._learner, observations[rows])
            student.train(Batch(x, scale_labels(self._learner, actions[rows])[0]))
        loss = student.loss(make_batch(self._learner, self._data, self._real.draw(self._rng)))
        loss.backward(inputs=list(samples.parameters.values()))
        for parameter in samples.parameters.values():
            assert parameter.grad is not None
            parameter.grad.nan_to_num_(0.0, 0.0, 0.0)  # a student that diverged says nothing
        self._state = student.detached()
        return float(loss.detach())

    def advance(self) -> None:
        """Begins anew where this student's horizon is reached, or where it diverged."""
        if int(self._state.steps) + self._config.window > self._horizon or not self._state.finite:
            self._begin()

    def state(self) -> dict[str, Any]:
        """Returns what :meth:`load_state` takes."""
        return {**self._state.to_json(), "horizon": self._horizon}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self._state = StudentState.from_json(state, self._device)
        self._horizon = state["horizon"]

    def _begin(self) -> None:
        config = self._config
        self._learner = draw_learner(config.learner, self._data, self._rng, self._device)
        self._state = StudentState.begin(self._learner)
        self._horizon = int(self._rng.integers(config.window, config.horizon + 1))
