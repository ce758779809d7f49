"""An offline dataset: a d3rlpy buffer together with all that is known of it."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from d3rlpy.constants import ActionSpace
from d3rlpy.dataset import EpisodeBase, InfiniteBuffer, ReplayBuffer, ReplayBufferBase

from ..errors import SettingsError, UnsuitableDatasetError
from .hdf5 import EpisodeData, EpisodeWriter, Provenance, load_dataset, read_extras
from .images import channel_first
from .mapped import mapped_episodes, mapped_replay_buffer
from .percentile import best_episodes
from .relabel import check_probabilities, transition_probabilities
from .transitions import TransitionArrays

__all__ = ["OfflineDataset", "episode_data"]


@dataclasses.dataclass(frozen=True, eq=False)
class OfflineDataset:
    """What methods distil and students are trained on.

    Args:
        buffer: Any d3rlpy buffer whose observations are one array each.
        task: The task that it was recorded on, for example ``"procgen/starpilot"``; None where nobody knows.
        behaviour: The behaviour policy's action probabilities at every step of every episode, ``(S, A)``; None where
            they were not recorded. S counts the last step of a timed-out episode, which is no transition.
        provenance: Where it comes from; None if another program made it.
        name: For messages and file names.
        recorded_sha256: Hash of the episodes as the file says it; computed where there is no file.
    """

    buffer: ReplayBufferBase
    task: str | None = None
    behaviour: npt.NDArray[np.floating[Any]] | None = None
    provenance: Provenance | None = None
    name: str = "dataset"
    recorded_sha256: str | None = None

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        task: str | None = None,
        action_size: int | None = None,
        observation_shape: tuple[int, ...] | None = None,
        mapped: bool | None = None,
    ) -> OfflineDataset:
        """Reads a file, ours or one of d3rlpy's own ``dump``.

        Args:
            path: The file.
            task: Of the data, where the file does not say it or says another.
            action_size: Number of actions, where the file does not say it.
            observation_shape: Refuse any other.
            mapped: Whether the observations stay in a file; see :func:`~.hdf5.load_dataset`.

        Raises:
            DatasetFormatError: If the file is no complete dataset, or of another shape.
        """
        buffer, info = load_dataset(
            path, observation_shape=observation_shape, action_size=action_size, mapped=mapped
        )
        known = info.provenance.task if info.provenance else None
        return cls(
            buffer=buffer,
            task=task or known,
            behaviour=read_extras(path, "steps").get("action_probabilities"),
            provenance=info.provenance,
            name=Path(path).name,
            recorded_sha256=info.content_sha256,
        )

    def save(self, path: str | Path, *, command: str = "") -> None:
        """Writes a d3rlpy file with its provenance; the path must be free.

        Args:
            path: The file to make.
            command: Command line to record, where the dataset has no provenance yet.

        Raises:
            OutputExistsError: If the path exists.
            UnsuitableDatasetError: If the behaviour policy's probabilities do not fit the episodes.
        """
        if self.behaviour is not None:
            check_probabilities(self.buffer, self.behaviour)
        provenance = self.provenance or Provenance("imported", self.task, self.action_size, command, {})
        provenance = dataclasses.replace(provenance, task=self.task)
        start = 0
        with EpisodeWriter(path, provenance) as writer:
            for episode in self.buffer.episodes:
                stop = start + len(episode)
                steps = {} if self.behaviour is None else {"action_probabilities": self.behaviour[start:stop]}
                writer.write(dataclasses.replace(episode_data(episode, self.discrete), steps=steps))
                start = stop

    def __len__(self) -> int:
        """Number of transitions, N."""
        return int(self.buffer.transition_count)

    @property
    def action_size(self) -> int:
        """Number of discrete actions, or of the dimensions of a continuous one."""
        return int(self.buffer.dataset_info.action_size)

    @property
    def discrete(self) -> bool:
        """Whether actions are discrete."""
        return bool(self.buffer.dataset_info.action_space == ActionSpace.DISCRETE)

    @functools.cached_property
    def observation_shape(self) -> tuple[int, ...]:
        """Shape of one observation as networks read it: images channel-first."""
        first = np.asarray(self.buffer.episodes[0].observations[:1])
        return tuple(channel_first(first).shape[1:])

    @property
    def has_images(self) -> bool:
        """Whether observations have three axes."""
        return len(self.observation_shape) == 3

    @property
    def has_pixels(self) -> bool:
        """Whether observations are bytes, 0 to 255."""
        return bool(np.issubdtype(self.buffer.dataset_info.observation_signature.dtype[0], np.uint8))

    @functools.cached_property
    def transitions(self) -> TransitionArrays:
        """The transitions as arrays, copied from the buffer at first use; mapped observations stay in their file."""
        return TransitionArrays.from_buffer(self.buffer)

    @functools.cached_property
    def policy(self) -> npt.NDArray[np.floating[Any]] | None:
        """The behaviour policy's action probabilities at the transitions, ``(N, A)``, or None.

        Raises:
            UnsuitableDatasetError: If they do not fit the episodes, or are no probabilities.
        """
        if self.behaviour is None:
            return None
        try:
            return transition_probabilities(self.buffer, self.transitions, self.behaviour)
        except UnsuitableDatasetError as error:
            raise UnsuitableDatasetError(f"{self.name}: {error}") from error

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of the episodes, hexadecimal, independent of how a file stores them."""
        if self.recorded_sha256 is not None:
            return self.recorded_sha256
        digest = hashlib.sha256()
        for episode in self.buffer.episodes:
            digest.update(episode_data(episode, self.discrete).digest())
        return digest.hexdigest()

    @functools.cached_property
    def mean_return(self) -> float:
        """Mean undiscounted return of the episodes."""
        return float(np.mean([episode.compute_return() for episode in self.buffer.episodes]))

    def best(self, percent: float) -> tuple[TransitionArrays, npt.NDArray[np.int64]]:
        """Returns the transitions of the best episodes, and their indices among all.

        Args:
            percent: See :func:`~.percentile.best_episodes`; 100 takes all.

        Raises:
            SettingsError: If the percentage is out of range.
        """
        if not 0 < percent <= 100:
            raise SettingsError(f"percent={percent}: expected above 0 and at most 100.")
        data = self.transitions
        if percent == 100:
            return data, np.arange(len(data))
        kept = np.isin(data.episodes, best_episodes(self.buffer, percent))
        return data.whole_episodes(kept), np.flatnonzero(kept)

    def replay_buffer(self, percent: float = 100) -> ReplayBufferBase:
        """Returns a d3rlpy buffer of the best episodes, unchanged and in their order; 100 gives the whole one."""
        if percent == 100:
            return self.buffer
        best = best_episodes(self.buffer, percent)
        mapped = mapped_episodes(self.buffer)
        if mapped is not None:
            return mapped_replay_buffer(mapped.cache, self.action_size, mapped.numbers[best])
        chosen = [self.buffer.episodes[i] for i in best]
        space = self.buffer.dataset_info.action_space  # d3rlpy would guess it from the values
        return ReplayBuffer(InfiniteBuffer(), episodes=chosen, action_space=space, action_size=self.action_size)


def episode_data(episode: EpisodeBase, discrete: bool) -> EpisodeData:
    """Returns one of d3rlpy's episodes as it is written to a file."""
    return EpisodeData(
        observations=np.asarray(episode.observations),
        actions=episode.actions[:, 0].astype(np.int32) if discrete else episode.actions.astype(np.float32),
        rewards=episode.rewards[:, 0].astype(np.float32),
        terminated=bool(episode.terminated),
    )
