"""Kernel regression on what students' last layers read: what they would learn from the samples, in closed form."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..data import TransitionArrays
from ..learners.batch import Batch
from ..learners.learner import Learner, autocast, scale
from ..learners.training import make_batch
from ..options import option
from .network_pool import NetworkPool
from .ridge import dense_layer, kernels, last_layers, ridge_regression
from .soft_samples import SoftSamples
from .taught import SoftObjective, TaughtMethod

__all__ = ["KernelObjective", "KernelRegressionConfig"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class KernelRegressionConfig(TaughtMethod):
    r"""Move samples so that ridge regression on a student's features, fitted to them, agrees with the teachers.

    A student trained on the samples until its logits are the labels' is, for its features :math:`\phi_\theta` as
    they are, a ridge regression with the kernel :math:`\phi_\theta(s)^T \phi_\theta(s')`. Its logits elsewhere are
    known in closed form, so that no training is unrolled:

    .. math::

        \min_{X, y} \; \mathbb{E}_\theta \Big[ - \sum_{s} \sum_a q(a|s) \log \mathrm{softmax}_a
        \big( K_{sX} (K_{XX} + \lambda I)^{-1} \log y \big) \Big],
        \quad \lambda = \mathrm{ridge} \cdot \mathrm{tr}(K_{XX}) / M

    But features are learned, too, and on few samples they are what a student lacks. So ``tangent`` of the kernel is
    that of the dense layer before the last, with inputs h and g the outputs above 0:

    .. math::

        k(s, s') \propto (1 - \tau) \, \phi_\theta(s)^T \phi_\theta(s')
        + \tau \, h_\theta(s)^T h_\theta(s') \, g_\theta(s)^T g_\theta(s')

    Several students train on the samples as they are; each step takes the features of one, and takes it one step
    on. It begins anew after a number of steps drawn evenly up to ``horizon``.

    References:
        * `Zhou et al., Dataset Distillation using Neural Feature Regression (FRePo) <https://arxiv.org/abs/2206.00719>`_
        * `Nguyen et al., Dataset Meta-Learning from Kernel Ridge-Regression (KIP) <https://arxiv.org/abs/2011.00050>`_
        * `Jacot et al., Neural Tangent Kernel <https://arxiv.org/abs/1806.07572>`_

    Args, beside those of :class:`~.taught.TaughtMethod`:
        ridge: Share of the mean diagonal that is added to the kernel of the samples.
        tangent: Share of the dense layer's kernel, :math:`\tau`; students without such a layer, with ReLU, before the
            last have the last layer's alone.
        horizon: Steps after which a student begins anew at the latest.
        students: Students kept.
    """

    moves: int = option(3000, "Steps that move the samples.", minimum=0)
    move_observations: bool = option(True, "Move observations too, not their labels alone.")
    label_learning_rate: float = option(0.1, "Of the labels' logits.", above=0)
    ridge: float = option(1e-3, "Added to the samples' kernel, as a share of its mean diagonal.", above=0)
    tangent: float = option(
        0.7, "Share of the kernel of the dense layer before the last; 0: the last alone.", minimum=0, maximum=1
    )
    horizon: int = option(600, "Steps after which a student begins anew at the latest.", minimum=1)
    students: int = option(8, "Students kept at different ages.", minimum=1)

    def objective(
        self, data: TransitionArrays, samples: SoftSamples, rng: np.random.Generator, device: str
    ) -> SoftObjective:
        """Returns the disagreement of the regression with the teachers."""
        return KernelObjective(self, data, rng, device)


class KernelObjective:
    """See :class:`KernelRegressionConfig`.

    Args:
        config: Its configuration.
        data: The real data with the teachers' labels.
        rng: Draws initialisations, horizons, students and batches.
        device: torch device.
    """

    def __init__(
        self, config: KernelRegressionConfig, data: TransitionArrays, rng: np.random.Generator, device: str
    ) -> None:
        self._config, self._data, self._rng = config, data, rng
        self._pool = NetworkPool(
            config.learner,
            data,
            size=config.students,
            horizon=config.horizon,
            steps=1,
            rng=rng,
            device=device,
            mixed_precision=True,
        )
        self._learner: Learner | None = None

    def step(self, samples: SoftSamples) -> float:
        """Sets the gradient with one student's features, and returns the disagreement."""
        learner = self._learner = self._pool.draw()
        rows = self._rng.integers(len(self._data), size=self._config.real_batch_size)
        real = make_batch(learner, self._data, rows)
        assert real.probabilities is not None
        x = scale(learner, samples.observations)
        with autocast(x.device.type):
            dense = dense_layer(learner, x[:1].detach()) if self._config.tangent else None
            here = last_layers(learner, x, dense, torch.float32)
            with torch.no_grad():
                there = last_layers(learner, real.observations, dense, torch.float32)
        # a policy does not change with a constant in its logits: taken out, the regression is on what matters
        logits = samples.logits - samples.logits.mean(1, keepdim=True)
        predicted = ridge_regression(*kernels(there, here, self._config.tangent), logits, self._config.ridge)
        loss = -(real.probabilities * F.log_softmax(predicted, 1)).sum(1).mean()
        parameters = list(samples.parameters.values())
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.grad = torch.nan_to_num(gradient, 0.0, 0.0, 0.0)
        return float(loss.detach())

    def advance(self, samples: SoftSamples) -> None:
        """Takes the student one step on, on the samples as they are now."""
        assert self._learner is not None
        learner, observations, labels = self._learner, samples.observations.detach(), samples.labels.detach()

        def take(rows: torch.Tensor) -> Batch:
            # scaled after the choice: a large set is not scaled whole for one batch
            return Batch(scale(learner, observations[rows]), torch.zeros_like(rows), probabilities=labels[rows])

        self._pool.train(len(samples), take)

    def state(self) -> dict[str, Any]:
        """Returns what :meth:`load_state` takes."""
        return self._pool.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self._pool.load_state(state)
