"""A student whose training is differentiable: its weights are functions of the samples that it is trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from d3rlpy.optimizers import AdamFactory

from ..errors import SettingsError
from ..learners.batch import Batch
from ..learners.functional import LearnerLoss
from ..learners.learner import Learner, LearnerConfig, learner_network

__all__ = ["DifferentiableStudent", "StudentState", "Weights", "check_plain_adam"]

Weights = dict[str, torch.Tensor]


@dataclasses.dataclass(frozen=True, eq=False)
class StudentState:
    """A student in the middle of its training with Adam.

    Args:
        weights: Of its network, by name.
        first: Adam's first moments.
        second: Adam's second moments.
        steps: Steps taken, a tensor float64 ``()``: a captured graph reads it anew each time.
    """

    weights: Weights
    first: Weights
    second: Weights
    steps: torch.Tensor

    @classmethod
    def begin(cls, learner: Learner) -> StudentState:
        """Returns the state of a learner before its first step."""
        weights = {name: value.detach().clone() for name, value in learner_network(learner).named_parameters()}
        first, second = ({name: torch.zeros_like(value) for name, value in weights.items()} for _ in range(2))
        return cls(weights, first, second, torch.zeros((), dtype=torch.float64, device=learner.impl.device))

    @property
    def finite(self) -> bool:
        """Whether all weights are finite."""
        return all(bool(torch.isfinite(value).all()) for value in self.weights.values())

    def to_json(self) -> dict[str, Any]:
        """Returns tensors and numbers from which :meth:`from_json` makes it again."""
        return {"weights": self.weights, "first": self.first, "second": self.second, "steps": int(self.steps)}

    @classmethod
    def from_json(cls, state: Mapping[str, Any], device: str) -> StudentState:
        """Inverse of :meth:`to_json`."""
        weights, first, second = (
            {name: value.to(device) for name, value in state[part].items()}
            for part in ("weights", "first", "second")
        )
        return cls(weights, first, second, torch.tensor(float(state["steps"]), dtype=torch.float64, device=device))


class DifferentiableStudent:
    """Trains a student by Adam (Kingma and Ba 2015, algorithm 1) so that its weights can be differentiated.

    Args:
        learner: Gives network, loss, learning rate and Adam's settings.
        state: Where it stands; nothing is differentiated before it.
        held: Differentiate through Adam's first moments only, taking the second ones as constants: their
            derivative divides by a deviation that is near 0 for many weights, and drowns the rest.
    """

    def __init__(self, learner: Learner, state: StudentState, *, held: bool = False) -> None:
        self._learner, self._loss, self._held = learner, LearnerLoss(learner), held
        self._weights = {name: value.detach().requires_grad_() for name, value in state.weights.items()}
        self._first, self._second, self._steps = dict(state.first), dict(state.second), state.steps

    def loss(self, batch: Batch) -> torch.Tensor:
        """The learner's loss at the present weights, differentiable."""
        named = {f"network.{name}": value for name, value in self._weights.items()}
        loss: torch.Tensor = torch.func.functional_call(self._loss, named, (batch,))
        return loss

    def train(self, batch: Batch) -> None:
        """Takes one step on a batch, which may be a function of what is learned."""
        gradients = torch.autograd.grad(self.loss(batch), list(self._weights.values()), create_graph=True)
        optimizer = self._learner.config.optim_factory
        rate, epsilon = self._learner.config.learning_rate, optimizer.eps
        beta1, beta2 = optimizer.betas
        self._steps = self._steps + 1
        unbias1, unbias2 = 1 - beta1**self._steps, 1 - beta2**self._steps
        weights: Weights = {}
        for (name, weight), gradient in zip(self._weights.items(), gradients, strict=True):
            square = (gradient.detach() if self._held else gradient) ** 2
            self._first[name] = beta1 * self._first[name] + (1 - beta1) * gradient
            self._second[name] = beta2 * self._second[name] + (1 - beta2) * square
            # epsilon under the root, where its derivative at 0 is finite
            deviation = (self._second[name] / unbias2 + epsilon**2).sqrt()
            weights[name] = weight - rate * (self._first[name] / unbias1) / deviation
        self._weights = weights

    def detached(self) -> StudentState:
        """Returns where it stands, cut off from the samples."""
        weights, first, second = (
            {name: value.detach() for name, value in values.items()}
            for values in (self._weights, self._first, self._second)
        )
        return StudentState(weights, first, second, self._steps)


def check_plain_adam(config: LearnerConfig) -> None:
    """Refuses a learner whose optimizer is not differentiated.

    Raises:
        SettingsError: If it is not plain Adam.
    """
    optimizer = config.optim_factory
    plain = isinstance(optimizer, AdamFactory) and not (
        optimizer.amsgrad
        or optimizer.weight_decay
        or optimizer.clip_grad_norm is not None
        or optimizer.lr_scheduler_factory is not None
    )
    if not plain:
        raise SettingsError(
            "unrolled matching differentiates plain Adam: give the learner optim_factory=AdamFactory()."
        )
