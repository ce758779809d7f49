"""Episodes from elsewhere into a file of ours."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data import DatasetInfo, EpisodeData, EpisodeWriter, Provenance, read_info, read_own
from ..data.hdf5.reader import check_episode
from ..errors import MissingExtraError
from ..files import claimed
from ..tasks import make_task

__all__ = ["file_sha256", "known_task", "plain_observations", "write_import"]

PIECE = 1 << 20


def write_import(
    source: str,
    path: Path,
    provenance: Provenance,
    episodes: Callable[[EpisodeWriter], Iterator[EpisodeData]],
    on_episode: Callable[[], None] | None = None,
) -> DatasetInfo:
    """Writes episodes as a dataset; returns at once if ``path`` holds just this one already.

    Args:
        source: Where they come from, for messages.
        path: The file to make. It appears only when it is complete.
        provenance: What to record.
        episodes: Yields them one by one, and may attach arrays to the writer.
        on_episode: Called after each.

    Raises:
        DatasetFormatError: If an episode is none: NaN, actions out of range, other shapes than the first one's.
        OutputExistsError: If ``path`` holds anything else.
        InUseError: If another process is making it.
    """
    with claimed(path):
        if path.exists():
            return read_own(path, provenance)
        shape = None
        with EpisodeWriter(path, provenance) as writer:
            for i, episode in enumerate(episodes(writer)):
                actions = episode.actions if episode.actions.ndim == 2 else episode.actions[:, None]
                rewards = episode.rewards[:, None]
                check_episode(
                    Path(source), i, episode.observations, actions, rewards, provenance.action_size, shape
                )
                shape = episode.observations.shape[1:]
                writer.write(episode)
                if on_episode is not None:
                    on_episode()
    return read_info(path)


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
