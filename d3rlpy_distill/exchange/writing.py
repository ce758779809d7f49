"""Episodes from elsewhere into a file of ours."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data import DatasetInfo, EpisodeData, EpisodeWriter, Provenance, read_info, read_own
from ..data.hdf5.reader import check_episode
from ..errors import MissingExtraError, OutputExistsError
from ..files import check_output, claimed
from ..tasks import make_task
from .transfer import Transfer, Tried

__all__ = [
    "EpisodeStream",
    "Episodes",
    "check_target",
    "file_sha256",
    "known_task",
    "plain_observations",
    "try_import",
    "write_import",
]

PIECE = 1 << 20

EpisodeStream = Generator[EpisodeData, None, None]
Episodes = Callable[[EpisodeWriter], EpisodeStream]
"""Yields episodes one by one, and may attach arrays to the writer."""


def write_import(
    source: str,
    path: Path,
    provenance: Provenance,
    episodes: Episodes,
    on_episode: Callable[[], None] | None = None,
) -> DatasetInfo:
    """Writes episodes as a dataset; returns at once if ``path`` holds just this one already.

    Args:
        source: Where they come from, for messages.
        path: The file to make. It appears only when it is complete.
        provenance: What to record.
        episodes: Yields them.
        on_episode: Called after each.

    Raises:
        DatasetFormatError: If an episode is none: NaN, actions out of range, other shapes than the first one's.
        OutputExistsError: If ``path`` holds anything else.
        InUseError: If another process is making it.
    """
    with claimed(path):
        if path.exists():
            return read_own(path, provenance)
        with EpisodeWriter(path, provenance) as writer:
            for episode in _checked(source, episodes(writer), provenance.action_size):
                writer.write(episode)
                if on_episode is not None:
                    on_episode()
    return read_info(path)


def try_import(source: Path, path: Path, provenance: Provenance, episodes: Episodes, total: int) -> Transfer:
    """Says what :func:`write_import` would do; its first episodes are written into a temporary directory.

    Args:
        source: The file that they come from.
        path: The file that would be made.
        provenance: What would be recorded.
        episodes: Yields them.
        total: How many they are.

    Raises: those of :func:`write_import`, as far as these episodes show them, but for InUseError.
    """
    check_output(path, overwrite=True)
    if path.exists():
        read_own(path, provenance)
        return Transfer(str(source), source.stat().st_size, path, path.stat().st_size, 0.0, done=True)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "tried.h5"
        with EpisodeWriter(file, provenance) as writer:
            tried = Tried(_checked(str(source), episodes(writer), provenance.action_size), total)
            for episode in tried:
                writer.write(episode)
        return tried.transfer(source, path, file.stat().st_size)


def check_target(path: Path, source: str) -> None:
    """Refuses a file that is no import of a source that is yet to be downloaded.

    Raises: those of :func:`write_import`, as far as they are known before.
    """
    check_output(path, overwrite=True)
    if path.exists():
        known = read_info(path).provenance
        if known is None or known.kind != "imported" or known.settings.get("source") != source:
            raise OutputExistsError(
                f"{path} exists already and holds something else: give another --out, or remove it with 'rm {path}'."
            )


def _checked(source: str, episodes: EpisodeStream, action_size: int) -> EpisodeStream:
    """Yields the episodes, whose file is closed at once when one is refused."""
    shape = None
    with contextlib.closing(episodes):
        for i, episode in enumerate(episodes):
            actions = episode.actions if episode.actions.ndim == 2 else episode.actions[:, None]
            rewards = episode.rewards[:, None]
            check_episode(Path(source), i, episode.observations, actions, rewards, action_size, shape)
            shape = episode.observations.shape[1:]
            yield episode


def known_task(task: str) -> tuple[str, int | None]:
    """Returns a task's whole name and the number of its discrete actions; None where they are continuous.

    Of a task whose simulator is not installed here, the name as it is, and None: data can be imported without it.

    Raises:
        UnknownNameError: If there is no such task.
    """
    try:
        known = make_task(task)
    except MissingExtraError:
        return task, None
    return known.name, known.action_size if known.discrete else None


def plain_observations(observations: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns observations ``(L, ...)`` in the types that we store: bytes as they are, all else as float32."""
    return observations if observations.dtype == np.uint8 else observations.astype(np.float32)


def file_sha256(path: Path) -> str:
    """Returns the hash of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()
