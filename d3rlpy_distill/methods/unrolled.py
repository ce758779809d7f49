"""Unrolled matching: the real loss of a student, differentiated through its training on the samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from d3rlpy.optimizers import AdamFactory

from ..data import TransitionArrays
from ..errors import SettingsError
from ..learners.batch import Batch
from ..learners.learner import Learner, build_learner, learner_loss, learner_network, scale, scale_labels
from ..learners.training import make_batch
from ..options import option
from .moving import MovingMethod, Objective
from .synthetic import SyntheticSet

__all__ = ["LearnerLoss", "UnrolledMatchingConfig", "UnrolledObjective"]

Weights = dict[str, torch.Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnrolledMatchingConfig(MovingMethod):
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

    Args, beside those of :class:`~.moving.MovingMethod`:
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
        optimizer = self.learner.optim_factory
        if not isinstance(optimizer, AdamFactory) or optimizer.amsgrad or optimizer.weight_decay:
            raise SettingsError(
                "unrolled matching differentiates plain Adam: give the learner optim_factory=AdamFactory()."
            )
        if self.horizon < self.window:
            raise SettingsError(f"horizon={self.horizon}: expected at least the window, {self.window}.")

    def objective(
        self, data: TransitionArrays, samples: SyntheticSet, rng: np.random.Generator, device: str
    ) -> Objective:
        """Returns the real loss after a window of training on the samples."""
        return UnrolledObjective(self, data, rng, device)


class UnrolledObjective:
    """See :class:`UnrolledMatchingConfig`.

    Args:
        config: Its configuration.
        data: The real data.
        rng: Draws initialisations, horizons and batches.
        device: torch device.
    """

    _weights: Weights
    _first: Weights
    _second: Weights
    _steps: int
    _horizon: int

    def __init__(
        self, config: UnrolledMatchingConfig, data: TransitionArrays, rng: np.random.Generator, device: str
    ) -> None:
        self._config, self._data, self._rng, self._device = config, data, rng, device
        self._begin()

    def step(self, samples: SyntheticSet) -> float:
        """Adds the gradient of the real loss after the next window, and returns that loss."""
        student = _Student(self._learner, self._weights, self._first, self._second, self._steps)
        observations, actions = samples.observations, samples.actions
        size = self._config.learner.batch_size
        for _ in range(self._config.window):
            batch = torch.from_numpy(self._rng.integers(len(actions), size=size))
            student.train(observations[batch], actions[batch])
        count, real_size = len(self._data), self._config.real_batch_size
        rows = np.arange(count) if real_size is None else self._rng.integers(count, size=real_size)
        loss = student.loss(make_batch(self._learner, self._data, rows))
        loss.backward(inputs=list(samples.parameters.values()))
        for parameter in samples.parameters.values():
            assert parameter.grad is not None
            parameter.grad.nan_to_num_(0.0, 0.0, 0.0)  # a student that diverged says nothing
        self._weights, self._first, self._second = student.detached()
        self._steps = student.steps
        return float(loss.detach())

    def advance(self) -> None:
        """Begins anew where this student's horizon is reached, or where it diverged."""
        finite = all(bool(torch.isfinite(value).all()) for value in self._weights.values())
        if self._steps + self._config.window > self._horizon or not finite:
            self._begin()

    def state(self) -> dict[str, Any]:
        """Returns what :meth:`load_state` takes."""
        return {
            "weights": self._weights,
            "first": self._first,
            "second": self._second,
            "steps": self._steps,
            "horizon": self._horizon,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        moved = [
            {k: v.to(self._device) for k, v in state[name].items()} for name in ("weights", "first", "second")
        ]
        self._weights, self._first, self._second = moved
        self._steps, self._horizon = state["steps"], state["horizon"]

    def _begin(self) -> None:
        config = self._config
        seed = int(self._rng.integers(2**63))
        shape, size = self._data.observations.shape[1:], self._data.action_size
        self._learner = build_learner(config.learner, shape, size, seed=seed, device=self._device)
        self._weights = {
            name: value.detach().clone() for name, value in learner_network(self._learner).named_parameters()
        }
        self._first = {name: torch.zeros_like(value) for name, value in self._weights.items()}
        self._second = {name: torch.zeros_like(value) for name, value in self._weights.items()}
        self._steps = 0
        self._horizon = int(self._rng.integers(config.window, config.horizon + 1))


class LearnerLoss(torch.nn.Module):
    """A learner's own loss as a function of its network's weights, for :func:`torch.func.functional_call`."""

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.network = learner_network(learner)
        self._learner = [learner]  # in a list, which is no submodule

    def forward(self, batch: Batch) -> torch.Tensor:
        return learner_loss(self._learner[0], batch)


class _Student:
    """A student whose training is differentiable: weights and Adam's moments are functions of the samples."""

    def __init__(self, learner: Learner, weights: Weights, first: Weights, second: Weights, steps: int) -> None:
        self._learner, self._loss = learner, LearnerLoss(learner)
        self._weights = {name: value.detach().requires_grad_() for name, value in weights.items()}
        self._first, self._second, self.steps = first, second, steps

    def loss(self, batch: Batch) -> torch.Tensor:
        """The learner's loss at the present weights."""
        named = {f"network.{name}": value for name, value in self._weights.items()}
        loss: torch.Tensor = torch.func.functional_call(self._loss, named, (batch,))
        return loss

    def train(self, observations: torch.Tensor, actions: torch.Tensor) -> None:
        """Takes one step of Adam (Kingma and Ba 2015, algorithm 1) on samples in the data's units."""
        batch = Batch(scale(self._learner, observations), scale_labels(self._learner, actions)[0])
        gradients = torch.autograd.grad(self.loss(batch), list(self._weights.values()), create_graph=True)
        optimizer = self._learner.config.optim_factory
        rate, epsilon = self._learner.config.learning_rate, optimizer.eps
        beta1, beta2 = optimizer.betas
        self.steps += 1
        weights: Weights = {}
        for (name, weight), gradient in zip(self._weights.items(), gradients, strict=True):
            self._first = {**self._first, name: beta1 * self._first[name] + (1 - beta1) * gradient}
            self._second = {**self._second, name: beta2 * self._second[name] + (1 - beta2) * gradient**2}
            mean = self._first[name] / (1 - beta1**self.steps)
            # epsilon under the root, where its derivative at 0 is finite
            deviation = (self._second[name] / (1 - beta2**self.steps) + epsilon**2).sqrt()
            weights[name] = weight - rate * mean / deviation
        self._weights = weights

    def detached(self) -> tuple[Weights, Weights, Weights]:
        """Returns weights and moments, cut off from the samples."""
        weights, first, second = (
            {name: value.detach() for name, value in values.items()}
            for values in (self._weights, self._first, self._second)
        )
        return weights, first, second
