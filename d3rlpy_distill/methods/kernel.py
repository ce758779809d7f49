"""Kernel regression on the features of students: what a student would learn from the samples, in closed form."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..data import TransitionArrays
from ..learners.batch import Batch
from ..learners.learner import Learner, autocast, learner_features, scale
from ..learners.training import make_batch
from ..options import option
from .network_pool import NetworkPool
from .soft_samples import SoftSamples
from .taught import SoftObjective, TaughtMethod

__all__ = ["KernelObjective", "KernelRegressionConfig", "kernel_logits"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class KernelRegressionConfig(TaughtMethod):
    r"""Move samples so that ridge regression on a student's features, fitted to them, agrees with the teachers.

    A student trained on the samples until its logits are the labels' is, for its features :math:`\phi_\theta` as
    they are, a ridge regression with the kernel :math:`k(s, s') = \phi_\theta(s)^T \phi_\theta(s')`. Its logits
    elsewhere are known in closed form, so that no training is unrolled:

    .. math::

        \min_{X, y} \; \mathbb{E}_\theta \Big[ - \sum_{s} \sum_a q(a|s) \log \mathrm{softmax}_a
        \big( K_{sX} (K_{XX} + \lambda I)^{-1} \log y \big) \Big],
        \quad \lambda = \mathrm{ridge} \cdot \mathrm{tr}(K_{XX}) / M

    Several students train on the samples as they are; each step takes the features of one, and takes it one step
    on. It begins anew after a number of steps drawn evenly up to ``horizon``.

    References:
        * `Zhou et al., Dataset Distillation using Neural Feature Regression (FRePo) <https://arxiv.org/abs/2206.00719>`_
        * `Nguyen et al., Dataset Meta-Learning from Kernel Ridge-Regression (KIP) <https://arxiv.org/abs/2011.00050>`_

    Args, beside those of :class:`~.taught.TaughtMethod`:
        ridge: Share of the mean diagonal that is added to the kernel of the samples.
        horizon: Steps after which a student begins anew at the latest.
        students: Students kept.
    """

    moves: int = option(3000, "Steps that move the samples.", minimum=0)
    move_observations: bool = option(True, "Move observations too, not their labels alone.")
    real_batch_size: int = option(512, "Real transitions of a step.", minimum=1)
    ridge: float = option(1e-3, "Added to the samples' kernel, as a share of its mean diagonal.", above=0)
    horizon: int = option(200, "Steps after which a student begins anew at the latest.", minimum=1)
    students: int = option(8, "Students kept at different ages.", minimum=1)

    def objective(
        self, data: TransitionArrays, samples: SoftSamples, rng: np.random.Generator, device: str
    ) -> SoftObjective:
        """Returns the disagreement of the regression with the teachers."""
        return KernelObjective(self, data, rng, device)


def kernel_logits(
    features: torch.Tensor, of_samples: torch.Tensor, logits: torch.Tensor, ridge: float
) -> torch.Tensor:
    """Returns the logits of ridge regression on samples.

    Args:
        features: Where they are wanted, ``(N, D)``.
        of_samples: Features of the samples, ``(M, D)``.
        logits: Of the samples, ``(M, A)``.
        ridge: See :class:`KernelRegressionConfig`.

    Returns:
        ``(N, A)``, differentiable.
    """
    kernel = of_samples @ of_samples.T
    weight = ridge * kernel.diagonal().mean()
    regular = kernel + weight * torch.eye(len(kernel), device=kernel.device, dtype=kernel.dtype)
    solved: torch.Tensor = torch.linalg.solve(regular, logits)
    return features @ (of_samples.T @ solved)


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
        with torch.no_grad():
            features = _features(learner, real.observations)
        of_samples = _features(learner, scale(learner, samples.observations))
        # a policy does not change with a constant in its logits: taken out, the regression is on what matters
        logits = samples.logits - samples.logits.mean(1, keepdim=True)
        predicted = kernel_logits(features, of_samples, logits, self._config.ridge)
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


def _features(learner: Learner, x: torch.Tensor) -> torch.Tensor:
    """The inputs of a policy's last layer and a constant, for its bias: float32 ``(B, D + 1)``."""
    with autocast(x.device.type):
        features = learner_features(learner, x)
    return F.pad(features.float(), (0, 1), value=1.0)
