"""Training to convergence: an annealed learning rate, and the weights that did best on held-out episodes."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from d3rlpy.optimizers.lr_schedulers import CosineAnnealingLRFactory

from ..data.transitions import TransitionArrays
from ..errors import SettingsError, UnsuitableDatasetError
from .learner import Learner, LearnerConfig, build_learner, learner_network
from .training import Trainer, held_out_loss

__all__ = ["ConvergenceConfig", "ConvergenceRun", "train_to_convergence"]


@dataclasses.dataclass(frozen=True)
class ConvergenceConfig:
    """What counts as training to convergence: the learning rate is annealed to zero, the best weights are kept.

    Args:
        steps: Steps over which the learning rate falls to zero along a cosine.
        held_out: Fraction of the *episodes* kept aside to watch.
        check_every: Steps between two looks at the held-out loss.
        max_held_out: Held-out transitions to look at, drawn once.
    """

    steps: int = 2000
    held_out: float = 0.1
    check_every: int = 250
    max_held_out: int = 2048

    def __post_init__(self) -> None:
        if not 0 < self.held_out < 1:
            raise SettingsError(f"held_out={self.held_out}: expected a fraction between 0 and 1.")
        if min(self.steps, self.check_every, self.max_held_out) < 1:
            raise SettingsError("steps, check_every and max_held_out: expected 1 or more each.")


class ConvergenceRun:
    """One student on its way to convergence, step by step.

    Args:
        config: Learner; gives network, loss, optimizer, learning rate and batch size.
        data: What to train on; a part of its episodes is held out.
        convergence: For how long, and what is held out.
        seed: Fixes initial weights.
        rng: Draws the held-out episodes and the batches.
        device: torch device.
    """

    def __init__(
        self,
        config: LearnerConfig,
        data: TransitionArrays,
        convergence: ConvergenceConfig,
        *,
        seed: int,
        rng: np.random.Generator,
        device: str,
    ) -> None:
        self._convergence, self._data = convergence, data
        fit, self._watch = _split_episodes(data, convergence, rng)
        annealed = dataclasses.replace(
            config.optim_factory, lr_scheduler_factory=CosineAnnealingLRFactory(T_max=convergence.steps)
        )
        config = dataclasses.replace(config, optim_factory=annealed)
        self.learner: Learner = build_learner(
            config, data.observations.shape[1:], data.action_size, seed=seed, device=device
        )
        self._trainer = Trainer(self.learner, data, rng, fit)
        self._best, self.best_step = float("inf"), 0
        self._best_weights = copy.deepcopy(learner_network(self.learner).state_dict())

    @property
    def done(self) -> bool:
        """Whether all steps have been taken."""
        return self._trainer.steps >= self._convergence.steps

    def step(self) -> float:
        """Takes a step, looks at the held-out loss if it is time, and returns the training loss."""
        loss = self._trainer.step()
        if self._trainer.steps % self._convergence.check_every == 0 or self.done:
            self._look()
        return loss

    def finish(self) -> Learner:
        """Returns the student with its best weights."""
        learner_network(self.learner).load_state_dict(self._best_weights)
        return self.learner

    def state(self) -> dict[str, Any]:
        """Returns tensors and numbers from which :meth:`load_state` goes on exactly."""
        return {
            "network": learner_network(self.learner).state_dict(),
            "optimizer": self.learner.impl.modules.optim.state_dict(),
            "steps": self._trainer.steps,
            "watch": torch.from_numpy(self._watch),
            "rows": torch.from_numpy(self._trainer.rows),
            "best": self._best,
            "best_step": self.best_step,
            "best_weights": self._best_weights,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        learner_network(self.learner).load_state_dict(state["network"])
        self.learner.impl.modules.optim.load_state_dict(state["optimizer"])
        self._trainer.steps = state["steps"]
        self._watch, self._trainer.rows = state["watch"].numpy(), state["rows"].numpy()
        self._best, self.best_step = state["best"], state["best_step"]
        self._best_weights = dict(state["best_weights"])

    def _look(self) -> None:
        loss = held_out_loss(self.learner, self._data, self._watch)
        if loss < self._best:
            self._best, self.best_step = loss, self._trainer.steps
            self._best_weights = copy.deepcopy(learner_network(self.learner).state_dict())


def train_to_convergence(
    config: LearnerConfig,
    data: TransitionArrays,
    convergence: ConvergenceConfig,
    *,
    seed: int,
    device: str = "cpu:0",
    on_step: Callable[[int], None] | None = None,
) -> tuple[Learner, int]:
    """Trains one student until its weights stand still, and keeps those that did best on held-out episodes.

    Returns:
        The student and the step at which its held-out loss was lowest.

    Raises:
        UnsuitableDatasetError: If there is only one episode.
    """
    run = ConvergenceRun(config, data, convergence, seed=seed, rng=np.random.default_rng(seed), device=device)
    for step in range(1, convergence.steps + 1):
        run.step()
        if on_step is not None:
            on_step(step)
    return run.finish(), run.best_step


def _split_episodes(
    data: TransitionArrays, convergence: ConvergenceConfig, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    episodes = np.unique(data.episodes)
    if len(episodes) < 2:
        raise UnsuitableDatasetError(
            f"the dataset has {len(episodes)} episode: expected at least 2, one of them to hold out."
        )
    count = min(max(1, round(convergence.held_out * len(episodes))), len(episodes) - 1)
    watched = np.isin(data.episodes, rng.choice(episodes, count, replace=False))
    watch = np.flatnonzero(watched)
    if len(watch) > convergence.max_held_out:
        watch = np.sort(rng.choice(watch, convergence.max_held_out, replace=False))
    return np.flatnonzero(~watched), watch
