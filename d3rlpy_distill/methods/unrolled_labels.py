"""Unrolled matching of soft labels: labels from which a student of few observations learns to agree with teachers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..data import TransitionArrays
from ..errors import SettingsError
from ..learners.batch import Batch
from ..learners.captured import Captured
from ..learners.functional import unchecked
from ..learners.learner import autocast, scale
from ..learners.training import draw_learner, make_batch
from ..options import option
from .differentiable import DifferentiableStudent, StudentState, check_plain_adam
from .soft_samples import SoftSamples
from .taught import SoftObjective, TaughtMethod

__all__ = ["UnrolledLabelsConfig", "UnrolledLabelsObjective"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnrolledLabelsConfig(TaughtMethod):
    r"""Learn the labels of few real observations by differentiating a student's training on them.

    Students train on the samples with their own optimizer. Every ``window`` of a student's steps are unrolled, and
    labels :math:`y` move so that the student they lead to agrees with the teachers' policy :math:`q` on the real data:

    .. math::

        \min_y \; \mathbb{E}_{\theta_t} \Big[ - \sum_{s \in D_\mathrm{real}} \sum_a q(a|s) \log
        \pi_{\theta_{t+W}(y)}(a|s) \Big], \quad
        \theta_{k+1} = \mathrm{Adam}\Big(\theta_k, - \nabla_\theta \sum_i \sum_a y_i(a) \log \pi_\theta(a|s_i)\Big)

    A label then says what makes a student of few observations right elsewhere, not what the teachers do there.
    Several students of different ages are kept; each step takes one of them on. Adam's second moments are constants
    inside a window.

    References:
        * `Feng et al., Embarrassingly Simple Dataset Distillation (RaT-BPTT) <https://arxiv.org/abs/2311.07025>`_
        * `Sucholutsky and Schonlau, Soft-Label Dataset Distillation <https://arxiv.org/abs/1910.02551>`_

    Args, beside those of :class:`~.taught.TaughtMethod`:
        window: Steps that are differentiated through, W.
        horizon: Steps after which a student begins anew at the latest; students that are to learn from the samples
            should train about as long.
        students: Students kept.
    """

    window: int = option(8, "Steps to differentiate through.", minimum=1)
    horizon: int = option(1000, "Steps after which a student begins anew at the latest.", minimum=1)
    students: int = option(8, "Students kept at different ages.", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_plain_adam(self.learner)
        if self.horizon < self.window:
            raise SettingsError(f"horizon={self.horizon}: expected at least the window, {self.window}.")

    def objective(
        self, data: TransitionArrays, samples: SoftSamples, rng: np.random.Generator, device: str
    ) -> SoftObjective:
        """Returns the disagreement with the teachers after a window of training on the samples."""
        return UnrolledLabelsObjective(self, data, samples, rng, device)


class UnrolledLabelsObjective:
    """See :class:`UnrolledLabelsConfig`.

    Args:
        config: Its configuration.
        data: The real data with the teachers' labels.
        samples: What moves; its gradients are written where they are.
        rng: Draws initialisations, horizons, students and batches.
        device: torch device.
    """

    def __init__(
        self,
        config: UnrolledLabelsConfig,
        data: TransitionArrays,
        samples: SoftSamples,
        rng: np.random.Generator,
        device: str,
    ) -> None:
        self._config, self._data, self._rng, self._device = config, data, rng, device
        self._pool: list[tuple[StudentState, int]] = [self._fresh() for _ in range(config.students)]
        self._present = 0
        self._live = StudentState.begin(self._learner)
        size = config.learner.batch_size
        self._rows = torch.zeros((config.window, size), dtype=torch.int64, device=device)
        self._real = make_batch(self._learner, data, np.zeros(config.real_batch_size, np.int64))
        self._loss = torch.zeros((), device=device)
        self._samples = samples
        for parameter in samples.parameters.values():
            parameter.grad = torch.zeros_like(parameter)
        self._window = Captured(self._unroll, torch.device(device), self._tensors())

    def step(self, samples: SoftSamples) -> float:
        """Sets the gradient after the next window of one student, and returns the disagreement."""
        config = self._config
        self._present = int(self._rng.integers(len(self._pool)))
        self._copy(self._pool[self._present][0], self._live)
        self._rows.copy_(torch.from_numpy(self._rng.integers(len(samples), size=tuple(self._rows.shape))))
        real = make_batch(
            self._learner, self._data, self._rng.integers(len(self._data), size=config.real_batch_size)
        )
        self._real.observations.copy_(real.observations)
        assert self._real.probabilities is not None and real.probabilities is not None
        self._real.probabilities.copy_(real.probabilities)
        with unchecked():
            self._window()
        return float(self._loss)

    def advance(self, samples: SoftSamples) -> None:
        """Keeps the student, or begins it anew where its horizon is reached or it diverged."""
        state, horizon = self._pool[self._present]
        self._copy(self._live, state)
        if int(state.steps) + self._config.window > horizon or not np.isfinite(float(self._loss)):
            self._pool[self._present] = self._fresh()

    def state(self) -> dict[str, Any]:
        """Returns what :meth:`load_state` takes."""
        return {
            "students": [state.to_json() for state, _ in self._pool],
            "horizons": [horizon for _, horizon in self._pool],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        students = [StudentState.from_json(each, self._device) for each in state["students"]]
        self._pool = list(zip(students, state["horizons"], strict=True))

    def _fresh(self) -> tuple[StudentState, int]:
        """A student before its first step, and its horizon."""
        config = self._config
        self._learner = draw_learner(config.learner, self._data, self._rng, self._device)
        horizon = int(self._rng.integers(config.window, config.horizon + 1))
        return StudentState.begin(self._learner), horizon

    def _unroll(self) -> None:
        student = DifferentiableStudent(self._learner, self._live, held=True)
        observations, labels = self._samples.observations, self._samples.labels
        with autocast(self._device):
            for rows in self._rows:
                x = scale(self._learner, observations[rows])
                student.train(Batch(x, torch.zeros_like(rows), probabilities=labels[rows]))
            loss = student.loss(self._real)
        parameters = list(self._samples.parameters.values())
        gradients = torch.autograd.grad(loss, parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            assert parameter.grad is not None
            # a student that diverged says nothing
            parameter.grad.copy_(torch.nan_to_num(gradient, 0.0, 0.0, 0.0))
        self._copy(student.detached(), self._live)
        self._loss.copy_(loss.detach())

    def _tensors(self) -> list[torch.Tensor]:
        live = self._live
        return [*live.weights.values(), *live.first.values(), *live.second.values(), live.steps]

    @staticmethod
    def _copy(source: StudentState, target: StudentState) -> None:
        with torch.no_grad():
            for part in ("weights", "first", "second"):
                for name, value in getattr(target, part).items():
                    value.copy_(getattr(source, part)[name])
            target.steps.copy_(source.steps)
