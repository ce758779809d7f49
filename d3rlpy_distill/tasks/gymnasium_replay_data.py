"""The first part of SAC's memory as a dataset: what was played until the policy was as good as a medium one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data import EpisodeData, EpisodeWriter, Provenance
from ..data.transitions import return_to_go
from .gymnasium_spaces import ActionLayout

__all__ = ["Memory", "replayed_episodes", "thinned", "write_replay"]


@dataclasses.dataclass(frozen=True)
class Memory:
    """A replay buffer of T steps of E environments, the oldest first.

    Args:
        observations: float32 ``(T, E, O)``.
        next_observations: float32 ``(T, E, O)``.
        actions: float32 ``(T, E, D)``, in [-1, 1].
        rewards: float32 ``(T, E)``.
        dones: float32 ``(T, E)``; 1 at the last step of an episode.
        timeouts: float32 ``(T, E)``; 1 where that was a time limit's.
    """

    observations: npt.NDArray[np.float32]
    next_observations: npt.NDArray[np.float32]
    actions: npt.NDArray[np.float32]
    rewards: npt.NDArray[np.float32]
    dones: npt.NDArray[np.float32]
    timeouts: npt.NDArray[np.float32]

    def first(self, transitions: int) -> Memory:
        """Returns the first steps, of at least so many transitions, or all."""
        steps = -(-transitions // self.rewards.shape[1])
        return Memory(*(getattr(self, field.name)[:steps] for field in dataclasses.fields(self)))


def replayed_episodes(memory: Memory, actions: ActionLayout) -> Iterator[EpisodeData]:
    """Yields the episodes in the order in which they ended.

    What the memory holds of an episode that was still going on, or that a stopped run left, counts as cut.

    Args:
        memory: What to read.
        actions: The bounds that actions are scaled to.
    """
    steps, envs = memory.rewards.shape
    broken = np.ones((steps, envs), np.bool_)
    broken[:-1] = (memory.next_observations[:-1] != memory.observations[1:]).any(2)
    last = (memory.dones != 0) | broken
    begins = np.zeros(envs, np.int64)
    for step, env in zip(*np.nonzero(last), strict=True):
        rows = slice(begins[env], step + 1)
        begins[env] = step + 1
        rewards = memory.rewards[rows, env]
        over = bool(memory.dones[step, env]) and not memory.timeouts[step, env]
        if not over and len(rewards) == 1:
            continue  # d3rlpy makes no transition of a single step that was cut
        share = (memory.actions[rows, env] + 1) / 2
        yield EpisodeData(
            observations=memory.observations[rows, env],
            actions=(actions.low + share * (actions.high - actions.low)).astype(np.float32),
            rewards=rewards,
            terminated=over,
            info={
                "return": float(rewards.sum(dtype=np.float64)),
                "length": len(rewards),
                "timeout": not over,
            },
            steps={"return_to_go": return_to_go(rewards)},
        )


def thinned(episodes: Iterable[EpisodeData], share: float) -> Iterator[EpisodeData]:
    """Yields episodes evenly spread over all, which hold at least a share of the steps, 0 to 1."""
    seen = kept = 0
    for episode in episodes:
        seen += len(episode.rewards)
        if kept < share * seen:
            kept += len(episode.rewards)
            yield episode


def write_replay(
    path: Path,
    memory: Memory,
    actions: ActionLayout,
    task: str,
    command: str,
    settings: Mapping[str, Any],
    *,
    steps: int,
) -> None:
    """Writes a memory as a dataset: all of it, or episodes evenly spread over it.

    Args:
        path: The file to make.
        memory: What to write.
        actions: The bounds that actions are scaled to.
        task: The task's name.
        command: What makes the file again.
        settings: What decides its content.
        steps: How many to write, about; there are more by at most an episode.
    """
    with EpisodeWriter(path, Provenance("collected", task, actions.size, command, settings)) as writer:
        for episode in thinned(replayed_episodes(memory, actions), steps / memory.rewards.size):
            writer.write(episode)
