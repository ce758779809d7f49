"""A d3rlpy buffer whose episodes' observations stay in a file."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from d3rlpy.constants import ActionSpace
from d3rlpy.dataset import Episode, EpisodeBase, ReplayBuffer, ReplayBufferBase, Signature

from ...errors import SettingsError
from .cache import FrameCache

__all__ = ["MappedBuffer", "mapped_episodes", "mapped_replay_buffer"]


class MappedEpisode(Episode):  # type: ignore[misc]
    """An episode of a cache; its observations are a read-only view of the file.

    Args:
        cache: The cache.
        number: Which of its episodes.
    """

    def __init__(self, cache: FrameCache, number: int) -> None:
        rows = slice(cache.starts[number], cache.stops[number])
        columns = cache.columns
        super().__init__(None, columns.actions[rows], columns.rewards[rows], bool(columns.terminated[number]))
        object.__setattr__(self, "_where", (cache, number))

    @property
    def observations(self) -> npt.NDArray[Any]:
        """``(L, ...)``."""
        cache, number = self.__dict__["_where"]
        frames: npt.NDArray[Any] = cache.episode(number)
        return frames

    @observations.setter
    def observations(self, value: None) -> None:
        """What the constructor of d3rlpy's class sets; there is nothing to keep."""

    def __reduce__(self) -> tuple[Any, ...]:
        return MappedEpisode, self.__dict__["_where"]


class MappedBuffer:
    """The episodes of a cache, or some of them, in their order; as in d3rlpy's buffers, those without a transition
    are left out.

    Args:
        cache: The cache.
        chosen: Indices of its episodes, int64 ``(K,)``; all of them by default.
    """

    def __init__(self, cache: FrameCache, chosen: npt.NDArray[np.int64] | None = None) -> None:
        columns = cache.columns
        counts = columns.lengths - ~columns.terminated
        numbers = np.arange(len(counts)) if chosen is None else chosen
        self.cache = cache
        self.numbers: npt.NDArray[np.int64] = numbers[counts[numbers] > 0]
        """The episodes' indices in the cache, int64 ``(E,)``."""
        self._episodes = [MappedEpisode(cache, number) for number in self.numbers.tolist()]
        self._stops = np.cumsum(counts[self.numbers])

    def __reduce__(self) -> tuple[Any, ...]:
        return MappedBuffer, (self.cache, self.numbers)

    def append(self, episode: EpisodeBase, index: int) -> None:
        """Refuses: the episodes are a file's.

        Raises:
            SettingsError: Always.
        """
        raise SettingsError(
            "a dataset whose frames stay in a file takes no more episodes: load it with mapped=False, or collect "
            "them into a file of their own."
        )

    @property
    def episodes(self) -> list[MappedEpisode]:
        """The episodes."""
        return self._episodes

    @property
    def transition_count(self) -> int:
        """Number of transitions."""
        return int(self._stops[-1]) if len(self._stops) else 0

    def __len__(self) -> int:
        return self.transition_count

    def __getitem__(self, index: int) -> tuple[EpisodeBase, int]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"transition {index}: expected one of {len(self)}.")
        index %= len(self)
        number = int(np.searchsorted(self._stops, index, side="right"))
        episode = self._episodes[number]
        return episode, index - int(self._stops[number]) + episode.transition_count


def mapped_replay_buffer(
    cache: FrameCache, action_size: int, chosen: npt.NDArray[np.int64] | None = None
) -> ReplayBuffer:
    """Returns d3rlpy's buffer of the episodes of a cache.

    Args:
        cache: The cache.
        action_size: Number of discrete actions, or of the dimensions of a continuous one.
        chosen: See :class:`MappedBuffer`.
    """
    buffer = MappedBuffer(cache, chosen)
    first = MappedEpisode(cache, 0)
    continuous = np.issubdtype(first.actions.dtype, np.floating)
    return ReplayBuffer(
        buffer,
        observation_signature=Signature(dtype=[cache.dtype], shape=[cache.shape]),
        action_signature=first.action_signature,
        reward_signature=first.reward_signature,
        action_space=ActionSpace.CONTINUOUS if continuous else ActionSpace.DISCRETE,
        action_size=action_size,
        cache_size=1,  # of what is appended, which nothing is; 10,000 frames by default
    )


def mapped_episodes(dataset: ReplayBufferBase) -> MappedBuffer | None:
    """Returns a dataset's buffer if its episodes are a cache's, else None."""
    buffer = dataset.buffer if isinstance(dataset, ReplayBuffer) else None
    return buffer if isinstance(buffer, MappedBuffer) else None
