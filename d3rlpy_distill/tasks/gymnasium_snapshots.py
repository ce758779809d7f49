"""Snapshots of an actor on its way, with what they return: the expert and a medium policy are two of them."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..files import appears_atomically
from ..policies import Policy
from .gymnasium_actor import SquashedGaussianPolicy, save_actor
from .gymnasium_spaces import ActionLayout

if TYPE_CHECKING:
    from .gymnasium_sac import CapturedSac

__all__ = ["Snapshot", "Snapshots", "best", "nearest"]

CURVE = "curve.csv"
FOLDER = "snapshots"


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A policy at a moment of its training.

    Args:
        steps: Environment steps so far.
        train_return: Mean return of the last 100 training episodes, actions sampled; NaN before the first ends.
        validation_return: Mean return from validation starts, actions of the mean.
    """

    steps: int
    train_return: float
    validation_return: float


class Snapshots:
    """Keeps the actor every so many steps, plays it, and writes ``curve.csv``.

    That file is for people: what a run goes on from stands in its checkpoint, which is sealed.

    Args:
        directory: Of the run.
        every: Environment steps between two.
        actions: How actions are written.
        evaluate: Returns a policy's mean return from validation starts.
        kept: Those that the run's checkpoint knows.
    """

    def __init__(
        self,
        directory: Path,
        every: int,
        actions: ActionLayout,
        evaluate: Callable[[Policy], float],
        kept: Sequence[Snapshot] = (),
    ) -> None:
        self._directory, self._every = directory, every
        self._actions, self._evaluate = actions, evaluate
        self.kept = list(kept)

    def path(self, steps: int) -> Path:
        """Returns the file of a snapshot."""
        return self._directory / FOLDER / f"{steps:09d}.safetensors"

    def offer(self, model: CapturedSac) -> None:
        """Keeps the actor if it is time, between two updates."""
        steps = model.num_timesteps
        last = self.kept[-1].steps if self.kept else 0
        if steps // self._every == last // self._every:
            return
        weights = model.actor_weights(critic=True)
        low, high = self._actions.low, self._actions.high
        self.path(steps).parent.mkdir(exist_ok=True)
        save_actor(self.path(steps), weights, low, high, overwrite=True)
        returns = [float(episode["r"]) for episode in model.ep_info_buffer or ()]
        policy = SquashedGaussianPolicy(weights, low, high)
        self.kept.append(Snapshot(steps, float(np.mean(returns)) if returns else np.nan, self._evaluate(policy)))
        write_curve(self._directory, self.kept)


def best(snapshots: Sequence[Snapshot]) -> Snapshot:
    """Returns the snapshot with the highest validation return, the latest of equals."""
    return max(reversed(snapshots), key=lambda one: one.validation_return)


def nearest(snapshots: Sequence[Snapshot], target: float) -> Snapshot:
    """Returns the snapshot whose validation return is nearest to a target, the earliest of equals."""
    return min(snapshots, key=lambda one: abs(one.validation_return - target))


def write_curve(directory: Path, snapshots: Sequence[Snapshot]) -> None:
    """Writes a row for each snapshot."""
    with appears_atomically(directory / CURVE, overwrite=True) as partial, partial.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([field.name for field in dataclasses.fields(Snapshot)])
        rows.writerows(dataclasses.astuple(one) for one in snapshots)
