"""Turns d3rlpy's datasets, by name or from files of any of its versions, into datasets with provenance."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from d3rlpy.constants import ActionSpace
from d3rlpy.datasets import DATA_DIRECTORY

from ..data import DatasetInfo, EpisodeData, EpisodeWriter, Provenance, read_episodes, read_info
from ..data.hdf5.opening import open_hdf5
from ..data.hdf5.plain import has, plain_dataset
from ..data.offline import episode_data
from ..errors import DatasetFormatError, SettingsError
from ..memory import check_fits
from .d3rlpy_names import DOWNLOADS, by_getter, check_getter, download, download_bytes
from .transfer import Transfer
from .writing import (
    Episodes,
    EpisodeStream,
    check_target,
    file_sha256,
    known_task,
    plain_observations,
    try_import,
    write_import,
)

__all__ = ["check_import_d3rlpy", "import_d3rlpy"]

SUFFIXES = (".h5", ".hdf5")
COLUMNS_OF_1 = ("observations", "actions", "rewards", "terminals")


def import_d3rlpy(
    source: str | Path,
    path: str | Path,
    *,
    task: str | None = None,
    action_size: int | None = None,
    data_directory: str | Path = DATA_DIRECTORY,
    command: str = "",
    on_episode: Callable[[], None] | None = None,
) -> DatasetInfo:
    """Writes one of d3rlpy's datasets as one of ours; a file alone is enough, no environment is made.

    Args:
        source: A file that d3rlpy wrote, of version 2.1 (``ReplayBuffer.dump``) or 1 (``MDPDataset.dump``); or a name
            that d3rlpy's getters know, such as ``"cartpole-replay"``, which is downloaded once.
        path: The file to make. It appears only when it is complete.
        task: What the data were recorded on, for example ``"gym/CartPole-v1"``; d3rlpy's files do not say it.
        action_size: Number of discrete actions; by default one more than the largest, as d3rlpy takes it.
        data_directory: Where d3rlpy keeps what it downloads.
        command: Command line to record.
        on_episode: Called after each episode.

    Raises:
        SettingsError: If ``path`` is the source itself.
        UnknownNameError: If there is neither such a file nor such a name.
        DatasetFormatError: If the file is damaged, of another layout, or one of ours.
        DistillError: If the data cannot be downloaded.
        OutputExistsError: If ``path`` holds anything else.
    """
    path = Path(path)
    asked = _Asked.of(source, path, task, action_size)
    if asked.by_getter:
        name, provenance, episodes = _from_getter(asked, command)
    else:
        file = download(asked.name, Path(data_directory)) if asked.named else Path(source)
        name = str(file)
        provenance, episodes, _ = _from_file(asked, file, command)
    return write_import(name, path, provenance, episodes, on_episode)


def check_import_d3rlpy(
    source: str | Path,
    path: str | Path,
    *,
    task: str | None = None,
    action_size: int | None = None,
    data_directory: str | Path = DATA_DIRECTORY,
) -> Transfer:
    """Says what :func:`import_d3rlpy` would do. Nothing is downloaded: the server is asked how much that would be.

    Args: those of :func:`import_d3rlpy`.

    Raises: those of :func:`import_d3rlpy`, as far as the first episodes show them, but for InUseError.
    """
    path = Path(path)
    asked = _Asked.of(source, path, task, action_size)
    if asked.by_getter:
        check_getter(asked.name)
        check_target(path, asked.name)
        return Transfer(asked.name, None, path, None, None)
    file = Path(data_directory) / DOWNLOADS[asked.name].file if asked.named else Path(source)
    if asked.named and not file.exists():
        check_target(path, asked.name)
        return Transfer(asked.name, download_bytes(asked.name, Path(data_directory)), path, None, None)
    provenance, episodes, total = _from_file(asked, file, "")
    return try_import(file, path, provenance, episodes, total)


@dataclasses.dataclass(frozen=True)
class _Asked:
    """What is to be imported.

    Args:
        name: The file, or the name.
        named: Whether it is a name.
        task: What it was recorded on, where that is known.
        action_size: Number of discrete actions, likewise.
    """

    name: str
    named: bool
    task: str | None
    action_size: int | None

    @classmethod
    def of(cls, source: str | Path, path: Path, task: str | None, action_size: int | None) -> _Asked:
        named = Path(source).suffix not in SUFFIXES and not Path(source).exists()
        name = str(source)
        if not named and path.resolve() == Path(source).resolve():
            raise SettingsError(f"{path} is the file to import itself: give another path to make.")
        if named and name.partition("-")[0] + "-replay" in DOWNLOADS and "-" not in name:
            name += "-replay"  # as d3rlpy's own documentation calls it
        if named and name in DOWNLOADS:
            task = task or DOWNLOADS[name].task
        if task is not None:
            task, count = known_task(task)
            action_size = action_size or count
        return cls(name, named, task, action_size)

    @property
    def by_getter(self) -> bool:
        """Whether d3rlpy's own getter has to download it."""
        return self.named and self.name not in DOWNLOADS


def _from_getter(asked: _Asked, command: str) -> tuple[str, Provenance, Episodes]:
    buffer, known = by_getter(asked.name)
    info = buffer.dataset_info
    discrete = info.action_space == ActionSpace.DISCRETE
    size = asked.action_size if discrete and asked.action_size is not None else int(info.action_size)
    provenance = Provenance("imported", asked.task or known, size, command, {"source": asked.name})

    def episodes(writer: EpisodeWriter) -> EpisodeStream:
        yield from (episode_data(episode, discrete) for episode in buffer.episodes)

    return asked.name, provenance, episodes


def _from_file(asked: _Asked, file: Path, command: str) -> tuple[Provenance, Episodes, int]:
    """What is recorded of a file, its episodes, and how many they are."""
    episodes, size, total = _reader(file, asked.action_size)
    settings = {
        "source": asked.name if asked.named else file.name,
        "file_bytes": file.stat().st_size,
        "file_sha256": file_sha256(file),
    }
    return Provenance("imported", asked.task, size, command, settings), episodes, total


def _reader(path: Path, action_size: int | None) -> tuple[Episodes, int, int]:
    """What reads a file's episodes, the number of its actions or of their dimensions, and that of its episodes."""
    with open_hdf5(path) as file:
        if not has(file, "observations"):  # each episode has arrays of its own since version 2
            info = read_info(path)
            if info.provenance is not None:
                raise DatasetFormatError(f"{path} is one of our datasets already: use it as it is.")
            discrete = np.issubdtype(plain_dataset(file, "actions_0").dtype, np.integer)
            size = action_size if discrete and action_size is not None else info.action_size
            return (lambda writer: _converted(path, size)), size, info.num_episodes
        columns = _Columns(path, file)
        size = columns.action_size if action_size is None or not columns.discrete else action_size
        return (lambda writer: _read_1(path)), size, int(columns.ends.sum())


def _converted(path: Path, action_size: int) -> EpisodeStream:
    for episode in read_episodes(path, action_size=action_size):
        actions = episode.actions.astype(np.int32 if episode.actions.ndim == 1 else np.float32)
        yield EpisodeData(
            plain_observations(episode.observations),
            actions,
            episode.rewards.astype(np.float32),
            episode.terminated,
            episode.info,
            episode.steps,
        )


class _Columns:
    """The arrays of a file of version 1: all steps of all episodes, one after the other.

    Args:
        path: For messages.
        file: The open file.

    Raises:
        DatasetFormatError: If they do not fit each other.
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        data = {name: plain_dataset(file, name) for name in COLUMNS_OF_1}
        self.observations = data["observations"]
        check_fits(str(path), sum(one.nbytes for name, one in data.items() if name != "observations"))
        self.actions = data["actions"][()]
        self.rewards = data["rewards"][()].reshape(-1)
        self.terminals = data["terminals"][()].reshape(-1) != 0
        ends = plain_dataset(file, "episode_terminals")[()] if has(file, "episode_terminals") else self.terminals
        self.ends = ends.reshape(-1) != 0
        count = len(self.observations)
        if (
            not len(self.actions) == len(self.rewards) == len(self.terminals) == len(self.ends) == count
            or not count
        ):
            raise DatasetFormatError(
                f"{path}: {count} observations, {len(self.actions)} actions, {len(self.rewards)} rewards and "
                f"{len(self.terminals)} terminals: expected equally many, at least one."
            )
        if (self.terminals & ~self.ends).any() or not self.ends.any():
            raise DatasetFormatError(
                f"{path}: no episode ends, or one goes on after a terminal step: expected terminals, or "
                "episode_terminals, at each episode's last step."
            )
        self.discrete = bool(np.issubdtype(self.actions.dtype, np.integer))
        self.actions = self.actions.reshape(-1) if self.discrete else self.actions.reshape(count, -1)

    @property
    def action_size(self) -> int:
        """As d3rlpy infers it."""
        return int(self.actions.max()) + 1 if self.discrete else int(self.actions.shape[1])

    def episodes(self) -> Iterator[EpisodeData]:
        """Yields them; steps after the last end belong to no episode, and d3rlpy leaves them out, too."""
        start = 0
        for end in (np.flatnonzero(self.ends) + 1).tolist():
            observations: npt.NDArray[Any] = self.observations[start:end]
            yield EpisodeData(
                plain_observations(observations),
                self.actions[start:end].astype(np.int32 if self.discrete else np.float32),
                self.rewards[start:end].astype(np.float32),
                bool(self.terminals[end - 1]),
            )
            start = end


def _read_1(path: Path) -> EpisodeStream:
    with open_hdf5(path) as file:
        yield from _Columns(path, file).episodes()
