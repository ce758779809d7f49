"""d3rlpy buffers made by hand, and methods run on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from d3rlpy.algos import DiscreteBCConfig
from d3rlpy.constants import ActionSpace
from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer, ReplayBufferBase

from d3rlpy_distill import Budget, Distilled, Method, OfflineDataset, Run
from d3rlpy_distill.files import SEAL_BYTES
from d3rlpy_distill.methods.base import DEFAULT_RUN
from d3rlpy_distill.registry import Registry
from d3rlpy_distill.students.paper import PaperStudent


def make_buffer(
    lengths: list[int],
    returns: list[float] | None = None,
    *,
    shape: tuple[int, ...] = (3, 16, 16),
    action_size: int = 4,
    terminated: bool = True,
    seed: int = 0,
) -> ReplayBuffer:
    """Random episodes whose whole return comes with the first step."""
    rng = np.random.default_rng(seed)
    episodes = []
    for i, length in enumerate(lengths):
        rewards = np.zeros((length, 1), np.float32)
        rewards[0] = returns[i] if returns else rng.random()
        episodes.append(
            Episode(
                rng.integers(0, 256, (length, *shape)).astype(np.uint8),
                rng.integers(0, action_size, (length, 1)).astype(np.int32),
                rewards,
                terminated,
            )
        )
    return ReplayBuffer(InfiniteBuffer(), episodes=episodes, action_size=action_size)


def vectors(continuous: bool, *, terminated: bool = True, seed: int = 0) -> ReplayBuffer:
    """Six episodes of vectors whose features differ in scale a thousandfold: 3 actions, or 2 dimensions of them."""
    rng = np.random.default_rng(seed)
    episodes = []
    for length in (5, 3, 8, 6, 4, 7):
        observations = (rng.normal(size=(length, 3)) * [0.01, 1, 10]).astype(np.float32)
        actions = np.tanh(observations[:, :2]) if continuous else rng.integers(0, 3, (length, 1)).astype(np.int32)
        rewards = rng.normal(size=(length, 1)).astype(np.float32)
        episodes.append(Episode(observations, actions, rewards, terminated))
    space = ActionSpace.CONTINUOUS if continuous else ActionSpace.DISCRETE
    return ReplayBuffer(
        InfiniteBuffer(), episodes=episodes, action_space=space, action_size=2 if continuous else 3
    )


def built_in(registry: Registry[Any]) -> list[str]:
    """Names that the package itself registers, whatever plug-ins other tests have loaded in this process."""
    return [
        entry.name
        for entry in registry.entries()
        if isinstance(entry.target, str) and entry.target.startswith("d3rlpy_distill.")
    ]


def paper_learner(budget: Budget | None = None) -> DiscreteBCConfig:
    """The paper's student for pixels, which any frames fit that it can read."""
    config: DiscreteBCConfig = PaperStudent().learner(OfflineDataset(make_buffer([2])), budget)
    return config


def distil(
    method: Method,
    buffer: ReplayBufferBase,
    *,
    behaviour: npt.NDArray[np.floating[Any]] | None = None,
    seed: int = 0,
    run: Run = DEFAULT_RUN,
) -> Distilled:
    """A method on a buffer of which nothing else is known."""
    return method.distill(OfflineDataset(buffer, behaviour=behaviour), np.random.default_rng(seed), run)


def unseal(path: Path) -> None:
    """Takes the seal off a file, as files of version 0.1 have none."""
    with path.open("r+b") as file:
        file.write(bytes(SEAL_BYTES))
