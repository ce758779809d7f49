"""Networks in the middle of their training on the samples, of all ages: kernel regression uses their features."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from ..data import TransitionArrays
from ..learners.batch import Batch
from ..learners.learner import Learner, LearnerConfig, autocast, learner_loss, learner_network
from ..learners.training import draw_learner

__all__ = ["NetworkPool"]


class NetworkPool:
    """Networks that train on samples as they are, and begin anew after a number of steps drawn evenly.

    Args:
        learner: Whose network and optimizer they are.
        data: Gives the shape of observations and the number of actions.
        size: Networks at once.
        horizon: Steps after which a network begins anew at the latest; looked at after it has trained.
        steps: Steps that a network takes each time it trains.
        rng: Draws initialisations, horizons, networks and batches.
        device: torch device.
        mixed_precision: Whether they train in bfloat16 where the device computes in it.
    """

    def __init__(
        self,
        learner: LearnerConfig,
        data: TransitionArrays,
        *,
        size: int,
        horizon: int,
        steps: int,
        rng: np.random.Generator,
        device: str,
        mixed_precision: bool = False,
    ) -> None:
        self._learner, self._horizon, self._steps, self._mixed = learner, horizon, steps, mixed_precision
        self._data, self._rng, self._device, self._present = data, rng, device, 0
        self._networks = [self._begin() for _ in range(size)]

    def draw(self) -> Learner:
        """Chooses the network that is used and trained next, and returns its learner."""
        self._present = int(self._rng.integers(len(self._networks)))
        return self._networks[self._present].learner

    def train(self, count: int, take: Callable[[torch.Tensor], Batch]) -> None:
        """Trains the network chosen last on batches of the samples, as a student does.

        Args:
            count: Of the samples.
            take: Returns those of given rows, int64 ``(B,)``, scaled and without a gradient to them.
        """
        network = self._networks[self._present]
        optimizer, size = network.learner.impl.modules.optim, network.learner.config.batch_size
        for _ in range(self._steps):
            rows = torch.from_numpy(self._rng.integers(count, size=size)).to(self._device)
            optimizer.zero_grad()
            with autocast(self._device) if self._mixed else contextlib.nullcontext():
                loss = learner_loss(network.learner, take(rows))
            loss.backward()
            optimizer.step()
        network.steps += self._steps
        if network.steps >= network.horizon:
            self._networks[self._present] = self._begin()

    def state(self) -> dict[str, Any]:
        """Returns what :meth:`load_state` takes."""
        return {"networks": [network.state() for network in self._networks]}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        for network, kept in zip(self._networks, state["networks"], strict=True):
            network.load_state(kept)

    def _begin(self) -> _Network:
        learner = draw_learner(self._learner, self._data, self._rng, self._device)
        return _Network(learner, int(self._rng.integers(1, self._horizon + 1)))


class _Network:
    """A network, and how long it has trained and will train."""

    def __init__(self, learner: Learner, horizon: int) -> None:
        self.learner, self.horizon, self.steps = learner, horizon, 0

    def state(self) -> dict[str, Any]:
        return {
            "weights": learner_network(self.learner).state_dict(),
            "optimizer": self.learner.impl.modules.optim.state_dict(),
            "horizon": self.horizon,
            "steps": self.steps,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        learner_network(self.learner).load_state_dict(state["weights"])
        self.learner.impl.modules.optim.load_state_dict(state["optimizer"])
        self.horizon, self.steps = state["horizon"], state["steps"]
