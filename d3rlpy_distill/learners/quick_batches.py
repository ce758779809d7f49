"""Batches of vectors out of a replay buffer by indexing, in the place of a loop over transitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
import numpy.typing as npt
from d3rlpy.dataset import (
    BasicTransitionPicker,
    InfiniteBuffer,
    ReplayBuffer,
    ReplayBufferBase,
    Transition,
    TransitionMiniBatch,
)

__all__ = ["QuickBuffer", "picks_vectors", "quick_batches"]


class QuickBuffer(ReplayBuffer):  # type: ignore[misc]  # d3rlpy is untyped
    """A buffer that draws the batches that d3rlpy's own draws, from the same random numbers, faster.

    d3rlpy picks each transition of a batch by itself and stacks them. For vectors that takes longer than the
    gradient step. Here all transitions lie in arrays, and a batch is one index into each. It takes a second time the
    memory of the data.

    Args:
        whole: A buffer of vectors, with d3rlpy's basic picker.
    """

    def __init__(self, whole: ReplayBufferBase) -> None:
        info, episodes = whole.dataset_info, list(whole.episodes)
        super().__init__(
            InfiniteBuffer(),
            episodes=episodes,
            observation_signature=info.observation_signature,
            action_signature=info.action_signature,
            reward_signature=info.reward_signature,
            action_space=info.action_space,
            action_size=info.action_size,
        )
        steps = np.array([len(episode.actions) for episode in episodes])
        starts = np.concatenate([[0], np.cumsum(steps)])
        ended = np.array([bool(episode.terminated) for episode in episodes])
        # a truncated episode's last step is no transition: what followed it is not known
        self._rows = np.concatenate(
            [
                np.arange(start, start + episode.transition_count)
                for start, episode in zip(starts, episodes, strict=False)
            ]
        )
        self._observations = np.concatenate([episode.observations for episode in episodes]).astype(np.float32)
        self._actions = np.concatenate([episode.actions for episode in episodes]).astype(np.float32)
        self._rewards = np.concatenate([episode.rewards for episode in episodes]).astype(np.float32)
        self._terminals = np.zeros((starts[-1], 1), np.float32)
        self._terminals[starts[1:][ended] - 1] = 1.0
        self._followed = np.minimum(np.arange(starts[-1]) + 1, starts[-1] - 1)

    def sample_transition_batch(self, batch_size: int) -> TransitionMiniBatch:
        """See :meth:`d3rlpy.dataset.ReplayBufferBase.sample_transition_batch`; draws from NumPy's global generator."""
        drawn = np.random.randint(self.transition_count, size=batch_size)  # noqa: NPY002
        rows = self._rows[drawn]
        terminals, followed = self._terminals[rows], self._followed[rows]
        goes_on = 1.0 - terminals
        return TransitionMiniBatch(
            observations=self._observations[rows],
            actions=self._actions[rows],
            rewards=self._rewards[rows],
            next_observations=self._observations[followed] * goes_on,
            next_actions=self._actions[followed] * goes_on,
            terminals=terminals,
            intervals=np.ones_like(terminals),
            transitions=_Picked(self, drawn),
        )


class _Picked(Sequence[Transition]):
    """The transitions of a batch, picked when one asks for them: few algorithms do."""

    def __init__(self, buffer: QuickBuffer, drawn: npt.NDArray[np.int64]) -> None:
        self._buffer, self._drawn = buffer, drawn

    def __len__(self) -> int:
        return len(self._drawn)

    @overload
    def __getitem__(self, index: int) -> Transition: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Transition]: ...

    def __getitem__(self, index: int | slice) -> Transition | Sequence[Transition]:
        if isinstance(index, slice):
            return _Picked(self._buffer, self._drawn[index])
        episode, step = self._buffer.buffer[self._drawn[index]]
        return self._buffer.transition_picker(episode, step)


def picks_vectors(buffer: ReplayBufferBase) -> bool:
    """Tells whether a buffer is of vectors, and picks its transitions as d3rlpy does by default."""
    shape = buffer.dataset_info.observation_signature.shape
    return len(shape) == 1 and len(shape[0]) == 1 and type(buffer.transition_picker) is BasicTransitionPicker


def quick_batches(buffer: ReplayBufferBase) -> ReplayBufferBase:
    """Returns a :class:`QuickBuffer` of vectors, and any other buffer as it is."""
    whole = isinstance(buffer.buffer, InfiniteBuffer) and not isinstance(buffer, QuickBuffer)
    return QuickBuffer(buffer) if whole and picks_vectors(buffer) else buffer
