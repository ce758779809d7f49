"""A replay buffer as contiguous arrays and back: what selecting, matching and fast training work on."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
from d3rlpy.constants import ActionSpace
from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer, ReplayBufferBase

from .errors import UnsuitableDatasetError

__all__ = ["TransitionArrays", "one_step_buffer"]


@dataclasses.dataclass(frozen=True)
class TransitionArrays:
    """The N transitions of a buffer with discrete actions, in the order of its episodes.

    Exactly the transitions that d3rlpy samples: the last step of a timed-out episode is none, because its
    next observation is unknown.

    Args:
        observations: ``(N, ...)``, the buffer's dtype.
        actions: int64 ``(N,)``.
        returns_to_go: Undiscounted return from the step on, own reward included, float32 ``(N,)``.
        episodes: Index of the episode, int64 ``(N,)``.
        steps: Index of the step in its episode, int64 ``(N,)``.
        action_size: Number of discrete actions, A.
    """

    observations: npt.NDArray[Any]
    actions: npt.NDArray[np.int64]
    returns_to_go: npt.NDArray[np.float32]
    episodes: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int64]
    action_size: int

    def __len__(self) -> int:
        return len(self.actions)

    @classmethod
    def from_buffer(cls, dataset: ReplayBufferBase) -> TransitionArrays:
        """Copies a buffer's transitions.

        Raises:
            UnsuitableDatasetError: If actions are continuous, observations are tuples or not finite, or there
                is no transition.
        """
        info = dataset.dataset_info
        if info.action_space != ActionSpace.DISCRETE:
            raise UnsuitableDatasetError("the dataset's actions are continuous: expected discrete actions.")
        if len(info.observation_signature.shape) != 1:
            raise UnsuitableDatasetError(
                f"the dataset's observations are tuples of {len(info.observation_signature.shape)} arrays: "
                "expected one array each."
            )
        observations, actions, returns, episodes, steps = [], [], [], [], []
        for i, episode in enumerate(dataset.episodes):
            count = episode.transition_count
            if count == 0:
                continue
            observations.append(np.asarray(episode.observations)[:count])
            actions.append(episode.actions[:count, 0].astype(np.int64))
            to_go = np.cumsum(episode.rewards[::-1, 0], dtype=np.float64)[::-1]
            returns.append(to_go[:count].astype(np.float32))
            episodes.append(np.full(count, i, np.int64))
            steps.append(np.arange(count, dtype=np.int64))
        if not actions:
            raise UnsuitableDatasetError("the dataset has no transition: expected at least one.")
        arrays = cls(
            observations=np.concatenate(observations),
            actions=np.concatenate(actions),
            returns_to_go=np.concatenate(returns),
            episodes=np.concatenate(episodes),
            steps=np.concatenate(steps),
            action_size=info.action_size,
        )
        if np.issubdtype(arrays.observations.dtype, np.floating):
            bad = ~np.isfinite(arrays.observations).reshape(len(arrays), -1).all(1)
            if bad.any():
                first = int(np.flatnonzero(bad)[0])
                raise UnsuitableDatasetError(
                    f"NaN or infinite values in the observation of episode {arrays.episodes[first]}, "
                    f"step {arrays.steps[first]}: expected finite values."
                )
        return arrays

    def action_counts(self) -> npt.NDArray[np.int64]:
        """Returns how often each action was taken, int64 ``(A,)``."""
        return np.bincount(self.actions, minlength=self.action_size)

    def take(self, index: npt.NDArray[np.int64]) -> ReplayBuffer:
        """Returns the transitions at ``index`` ``(M,)`` as a buffer of M one-step episodes."""
        return one_step_buffer(
            self.observations[index], self.actions[index], self.returns_to_go[index], self.action_size
        )


def one_step_buffer(
    observations: npt.NDArray[Any],
    actions: npt.NDArray[np.integer[Any]],
    rewards: npt.NDArray[np.floating[Any]],
    action_size: int,
) -> ReplayBuffer:
    """Builds a buffer of one-step terminal episodes, which every d3rlpy algorithm takes.

    The reward of a sample is the return that its policy still collected from there (return-to-go): for a
    terminal step, Q-learning regresses Q(s, a) on exactly the reward.

    Args:
        observations: ``(M, ...)``.
        actions: Integers 0 to A - 1, ``(M,)``.
        rewards: ``(M,)``.
        action_size: A, which d3rlpy would otherwise infer from the actions present.
    """
    episodes = [
        Episode(
            observations=observations[i : i + 1],
            actions=actions[i : i + 1, None].astype(np.int32),
            rewards=rewards[i : i + 1, None].astype(np.float32),
            terminated=True,
        )
        for i in range(len(actions))
    ]
    return ReplayBuffer(InfiniteBuffer(), episodes=episodes, action_size=action_size)
