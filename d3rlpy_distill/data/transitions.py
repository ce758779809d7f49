"""A replay buffer as contiguous arrays and back: what selecting, matching and fast training work on."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from d3rlpy.constants import ActionSpace
from d3rlpy.dataset import Episode, EpisodeBase, InfiniteBuffer, ReplayBuffer, ReplayBufferBase

from ..errors import UnsuitableDatasetError
from .images import channel_first
from .mapped import MappedRows, in_pieces, mapped_episodes, rows_of

__all__ = ["TransitionArrays", "one_step_buffer", "return_to_go"]


@dataclasses.dataclass(frozen=True)
class TransitionArrays:
    """The N transitions of a buffer, in the order of its episodes.

    Exactly the transitions that d3rlpy samples: the last step of a timed-out episode is none, because its
    next observation is unknown. Images whose last axis is the channels come out channel-first, as d3rlpy's
    networks read them.

    Args:
        observations: ``(N, ...)``, the buffer's dtype. Of a dataset whose frames stay in a file they are
            :class:`~.mapped.MappedRows`, which are read by index as an array is.
        actions: int64 ``(N,)``, or float32 ``(N, D)`` where actions are continuous.
        rewards: float32 ``(N,)``.
        terminals: Whether the episode ends with the transition, bool ``(N,)``.
        returns_to_go: Undiscounted return from the step on, own reward included, float32 ``(N,)``.
        episodes: Index of the episode, int64 ``(N,)``.
        steps: Index of the step in its episode, int64 ``(N,)``.
        action_size: Number of discrete actions, A, or of the dimensions of a continuous one, D.
        last_observations: Where timed-out episodes were cut: the observation after the last transition of each,
            in their order, ``(K, ...)``.
        probabilities: Soft labels: what an imitator is to give each discrete action, float32 ``(N, A)``, rows that
            sum to 1. None where the actions are the labels.
    """

    observations: npt.NDArray[Any]
    actions: npt.NDArray[Any]
    rewards: npt.NDArray[np.float32]
    terminals: npt.NDArray[np.bool_]
    returns_to_go: npt.NDArray[np.float32]
    episodes: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int64]
    action_size: int
    last_observations: npt.NDArray[Any]
    probabilities: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def discrete(self) -> bool:
        """Whether actions are discrete."""
        return self.actions.ndim == 1

    @classmethod
    def from_buffer(cls, dataset: ReplayBufferBase) -> TransitionArrays:
        """Copies a buffer's transitions; observations that are mapped from a file stay there.

        Raises:
            UnsuitableDatasetError: If observations are tuples or not finite, or there is no transition.
        """
        info = dataset.dataset_info
        if len(info.observation_signature.shape) != 1:
            raise UnsuitableDatasetError(
                f"the dataset's observations are tuples of {len(info.observation_signature.shape)} arrays: "
                "expected one array each."
            )
        discrete = info.action_space == ActionSpace.DISCRETE
        parts = [_Part.of(i, episode, discrete) for i, episode in enumerate(dataset.episodes)]
        parts = [part for part in parts if part is not None]
        if not parts:
            raise UnsuitableDatasetError("the dataset has no transition: expected at least one.")
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _Part._fields}
        observations, last = _observations(dataset, columns["episodes"], columns["steps"])
        arrays = cls(action_size=info.action_size, observations=observations, last_observations=last, **columns)
        arrays.check_finite()
        return arrays

    @classmethod
    def one_step(
        cls,
        observations: npt.NDArray[Any],
        actions: npt.NDArray[Any],
        rewards: npt.NDArray[np.floating[Any]],
        action_size: int,
        probabilities: npt.NDArray[np.float32] | None = None,
    ) -> TransitionArrays:
        """Returns M transitions of one-step episodes that terminate: those of :func:`one_step_buffer`.

        Args:
            observations: ``(M, ...)``, channel-first.
            actions: Integers 0 to A - 1, ``(M,)``, or float32 ``(M, D)``.
            rewards: ``(M,)``, returns-to-go at the same time.
            action_size: A, or D.
            probabilities: Soft labels, ``(M, A)``, or None.
        """
        count = len(actions)
        given = rewards.astype(np.float32)
        return cls(
            observations=observations,
            actions=actions.astype(np.int64) if actions.ndim == 1 else actions.astype(np.float32),
            rewards=given,
            terminals=np.ones(count, np.bool_),
            returns_to_go=given,
            episodes=np.arange(count, dtype=np.int64),
            steps=np.zeros(count, np.int64),
            action_size=action_size,
            last_observations=observations[:0],
            probabilities=probabilities,
        )

    def check_finite(self) -> None:
        """Refuses what no network can be trained on.

        Raises:
            UnsuitableDatasetError: If a value is NaN or infinite.
        """
        columns = {"observation": self.observations, "action": self.actions, "reward": self.rewards}
        for name, values in columns.items():
            if np.issubdtype(values.dtype, np.floating):
                bad = np.concatenate(
                    [~np.isfinite(piece).reshape(len(piece), -1).all(1) for piece in in_pieces(values)]
                )
                if bad.any():
                    first = int(np.flatnonzero(bad)[0])
                    raise UnsuitableDatasetError(
                        f"NaN or infinite values in the {name} of episode {self.episodes[first]}, "
                        f"step {self.steps[first]}: expected finite values."
                    )

    def next_observations(self, index: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Returns the observations after the transitions at ``index`` ``(M,)``; zeros after terminal ones."""
        following = np.minimum(index + 1, len(self) - 1)
        continues = (index + 1 < len(self)) & (self.episodes[following] == self.episodes[index])
        out: npt.NDArray[Any] = self.observations[following]
        out[self.terminals[index]] = 0
        cut = ~continues & ~self.terminals[index]
        if cut.any():
            out[cut] = self.last_observations[np.searchsorted(np.flatnonzero(self._is_cut()), index[cut])]
        return out

    def whole_episodes(self, kept: npt.NDArray[np.bool_]) -> TransitionArrays:
        """Returns the transitions that are kept, ``(N,)``: all of an episode or none. Episodes keep indices."""
        return dataclasses.replace(
            self,
            **{name: getattr(self, name)[kept] for name in _Part._fields},
            observations=rows_of(self.observations, kept),
            last_observations=rows_of(self.last_observations, kept[self._is_cut()]),
            probabilities=None if self.probabilities is None else self.probabilities[kept],
        )

    def _is_cut(self) -> npt.NDArray[np.bool_]:
        """Whether each transition is the last of an episode that timed out, ``(N,)``."""
        return np.append(self.episodes[1:] != self.episodes[:-1], True) & ~self.terminals

    def action_counts(self) -> npt.NDArray[np.int64]:
        """Returns how often each action was taken, int64 ``(A,)``.

        Raises:
            UnsuitableDatasetError: If actions are continuous.
        """
        if not self.discrete:
            raise UnsuitableDatasetError("the dataset's actions are continuous: expected discrete actions.")
        return np.bincount(self.actions, minlength=self.action_size)

    def take(self, index: npt.NDArray[np.int64]) -> TransitionArrays:
        """Returns the transitions at ``index`` ``(M,)`` as one-step episodes; the reward is the return-to-go."""
        soft = None if self.probabilities is None else self.probabilities[index]
        return self.one_step(
            self.observations[index], self.actions[index], self.returns_to_go[index], self.action_size, soft
        )


class _Part(NamedTuple):
    """An episode's share of the arrays, without the observations."""

    actions: npt.NDArray[Any]
    rewards: npt.NDArray[np.float32]
    terminals: npt.NDArray[np.bool_]
    returns_to_go: npt.NDArray[np.float32]
    episodes: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int64]

    @classmethod
    def of(cls, i: int, episode: EpisodeBase, discrete: bool) -> _Part | None:
        count = episode.transition_count
        if count == 0:
            return None
        terminals = np.zeros(count, np.bool_)
        terminals[-1] = episode.terminated
        return cls(
            actions=episode.actions[:count, 0].astype(np.int64)
            if discrete
            else episode.actions[:count].astype(np.float32),
            rewards=episode.rewards[:count, 0].astype(np.float32),
            terminals=terminals,
            returns_to_go=return_to_go(episode.rewards[:, 0])[:count],
            episodes=np.full(count, i, np.int64),
            steps=np.arange(count, dtype=np.int64),
        )


def _observations(
    dataset: ReplayBufferBase, episodes: npt.NDArray[np.int64], steps: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The observations of the transitions, and those after the last one of each episode that timed out."""
    mapped = mapped_episodes(dataset)
    if mapped is None:
        whole = [(np.asarray(one.observations), one.transition_count) for one in dataset.episodes]
        whole = [(frames, count) for frames, count in whole if count]
        return (
            channel_first(np.concatenate([frames[:count] for frames, count in whole])),
            channel_first(np.concatenate([frames[count : count + 1] for frames, count in whole])),
        )
    ends = np.flatnonzero(np.append(episodes[1:] != episodes[:-1], True))
    cut = ends[[not mapped.episodes[i].terminated for i in episodes[ends].tolist()]]
    first = mapped.cache.starts[mapped.numbers[episodes]]
    rows = MappedRows(mapped.cache, first + steps)
    after = MappedRows(mapped.cache, first[cut] + steps[cut] + 1)
    return cast("npt.NDArray[Any]", rows), cast("npt.NDArray[Any]", after)


def return_to_go(rewards: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
    """Returns the undiscounted return that is left at each step, own reward included: ``(L,)`` to ``(L,)``."""
    return np.cumsum(rewards[::-1], dtype=np.float64)[::-1].astype(np.float32)


def one_step_buffer(
    observations: npt.NDArray[Any],
    actions: npt.NDArray[Any],
    rewards: npt.NDArray[np.floating[Any]],
    action_size: int,
) -> ReplayBuffer:
    """Builds a buffer of one-step terminal episodes, which every d3rlpy algorithm takes.

    The reward of a sample is the return that its policy still collected from there (return-to-go): for a
    terminal step, Q-learning regresses Q(s, a) on exactly the reward.

    Args:
        observations: ``(M, ...)``.
        actions: Integers 0 to A - 1, ``(M,)``, or float32 ``(M, D)``.
        rewards: ``(M,)``.
        action_size: A, which d3rlpy would otherwise infer from the actions present, or D.
    """
    episodes = [
        Episode(
            observations=observations[i : i + 1],
            actions=actions[i : i + 1, None].astype(np.int32) if actions.ndim == 1 else actions[i : i + 1],
            rewards=rewards[i : i + 1, None].astype(np.float32),
            terminated=True,
        )
        for i in range(len(actions))
    ]
    space = ActionSpace.DISCRETE if actions.ndim == 1 else ActionSpace.CONTINUOUS
    return ReplayBuffer(InfiniteBuffer(), episodes=episodes, action_space=space, action_size=action_size)
