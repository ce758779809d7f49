"""Where gradients are matched: the distribution of the network weights theta."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch

from ..data.transitions import TransitionArrays
from ..errors import DistillError
from ..learners.learner import Learner, LearnerConfig, build_learner, learner_network
from ..learners.training import Trainer, draw_learner

__all__ = ["GivenTheta", "RandomTheta", "Theta", "TrajectoryTheta"]


class Theta(Protocol):
    """A sequence of learners at which gradients are matched, one after the other."""

    learner: Learner

    def advance(self) -> None:
        """Moves on to the next weights."""
        ...

    def redraw(self) -> None:
        """Replaces weights at which the gradient is zero."""
        ...

    def state(self) -> dict[str, Any]:
        """Returns tensors and numbers from which :meth:`load_state` goes on exactly."""
        ...

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        ...


class RandomTheta:
    """A new random initialisation for every match: the formula of the paper.

    Args:
        config: The learner's.
        data: The real data.
        rng: Draws initialisations.
        device: torch device.
    """

    def __init__(
        self, config: LearnerConfig, data: TransitionArrays, rng: np.random.Generator, device: str
    ) -> None:
        self._config, self._data, self._rng, self._device = config, data, rng, device
        self.redraw()

    def advance(self) -> None:
        self.redraw()

    def redraw(self) -> None:
        self.learner = draw_learner(self._config, self._data, self._rng, self._device)

    def state(self) -> dict[str, Any]:
        modules = self.learner.impl.modules.get_torch_modules()  # a Q-learner's target network among them
        return {"networks": {name: module.state_dict() for name, module in modules.items()}}

    def load_state(self, state: Mapping[str, Any]) -> None:
        modules = self.learner.impl.modules.get_torch_modules()
        for name, weights in state["networks"].items():
            modules[name].load_state_dict(weights)


class TrajectoryTheta(RandomTheta):
    """The weights of students as they train on the real data, from one initialisation after another.

    Args:
        config: The learner's.
        data: The real data.
        rng: Draws initialisations and batches.
        device: torch device.
        length: Steps after which a trajectory begins anew.
        stride: Steps between two matches.
    """

    def __init__(
        self,
        config: LearnerConfig,
        data: TransitionArrays,
        rng: np.random.Generator,
        device: str,
        *,
        length: int,
        stride: int,
    ) -> None:
        self._length, self._stride = length, stride
        super().__init__(config, data, rng, device)

    def redraw(self) -> None:
        super().redraw()
        self._trainer = Trainer(self.learner, self._data, self._rng)
        self._steps = 0

    def advance(self) -> None:
        if self._steps >= self._length:
            self.redraw()
            return
        for _ in range(self._stride):
            self._trainer.step()
        self._steps += self._stride

    def state(self) -> dict[str, Any]:
        optimizer = self.learner.impl.modules.optim.state_dict()
        return {**super().state(), "optimizer": optimizer, "steps": self._steps, "updates": self._trainer.steps}

    def load_state(self, state: Mapping[str, Any]) -> None:
        super().load_state(state)
        self.learner.impl.modules.optim.load_state_dict(state["optimizer"])
        self._steps = state["steps"]
        self._trainer.steps = state["updates"]


class GivenTheta:
    """Always the same weights: the authors' runs match at the expert's.

    Args:
        config: The learner's.
        data: The real data.
        weights: State of its network.
        device: torch device.
    """

    def __init__(
        self,
        config: LearnerConfig,
        data: TransitionArrays,
        weights: Mapping[str, torch.Tensor],
        device: str,
    ) -> None:
        self.learner = build_learner(config, data.observations.shape[1:], data.action_size, seed=0, device=device)
        try:
            learner_network(self.learner).load_state_dict(weights)
        except RuntimeError as error:
            raise DistillError(
                f"the given weights do not fit the learner's network: {str(error).splitlines()[-1].strip()}"
            ) from error

    def advance(self) -> None:
        pass

    def redraw(self) -> None:
        raise DistillError("the gradient at the given weights is zero: there is nothing to match.")

    def state(self) -> dict[str, Any]:
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        pass
