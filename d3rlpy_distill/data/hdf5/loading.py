"""Loads a dataset file into a d3rlpy buffer: into memory, or lazily, its frames mapped from a cache."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from d3rlpy.constants import ActionSpace
from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer

from ...errors import DatasetFormatError, TooLargeError
from ...files import bytes_sha256, check_seal
from ...memory import check_fits
from ..mapped import SUFFIX, FrameCache, find_cache, make_cache, mapped_replay_buffer
from .opening import open_dataset
from .plain import has, plain_dataset
from .reader import DatasetInfo, check_episode, checked_episodes, info_of

__all__ = ["MAPPED_BYTES", "load_dataset"]

MAPPED_BYTES = 1 << 30
"""Observations that take as much are mapped: 87,381 frames of Procgen's."""


def load_dataset(
    path: str | Path,
    *,
    observation_shape: tuple[int, ...] | None = None,
    action_size: int | None = None,
    mapped: bool | None = None,
) -> tuple[ReplayBuffer, DatasetInfo]:
    """Loads a dataset into a d3rlpy ``ReplayBuffer`` with the right number of actions.

    A large one is opened lazily: its observations are inflated once, into a cache beside the file (``PATH.frames``)
    or, where that cannot be written, in the user's directory of caches. The episodes' observations are then read-only
    views of that file. The cache is found again as long as the file's bytes are the same.

    Args:
        path: The file, ours or written by d3rlpy's own ``dump``.
        observation_shape: Refuse any other, for example ``(3, 64, 64)``.
        action_size: Number of actions, where the file does not say it; by default inferred as d3rlpy does.
        mapped: Whether the observations stay in a cache. By default those that have one do, and those of
            :data:`MAPPED_BYTES` and more where there is room for one.

    Returns:
        The buffer and the file's description.

    Raises:
        DatasetFormatError: If the file is damaged or cut short, if a shape, an action or a value is off, or
            if the content is not that of the recorded hash.
        TooLargeError: If there is neither the memory nor, for a cache, the space on disk.
    """
    path = Path(path)
    with open_dataset(path) as file:
        info = info_of(path, file)
        if action_size is not None and info.provenance is None:
            info = dataclasses.replace(info, action_size=action_size)
        cache = None if mapped is False else _cached(path, file, info, observation_shape, mapped)
        if cache is not None:
            _check_cached(path, cache, info, observation_shape)
            return mapped_replay_buffer(cache, info.action_size), info
        if mapped:
            raise TooLargeError(
                f"{path}: no room for the cache of its frames, {_size(file, info).frames / 1e9:.1f} GB, nor in the "
                "directory of caches that XDG_CACHE_HOME names, or its episodes differ in types: free some space."
            )
        check_fits(str(path), _size(file, info).all)
        loaded = list(_episodes(path, file, info, observation_shape))
    continuous = np.issubdtype(loaded[0].actions.dtype, np.floating)
    buffer = ReplayBuffer(
        InfiniteBuffer(),
        episodes=loaded,
        action_space=ActionSpace.CONTINUOUS if continuous else ActionSpace.DISCRETE,
        action_size=info.action_size,
    )
    return buffer, info


def _cached(
    path: Path,
    file: h5py.File,
    info: DatasetInfo,
    observation_shape: tuple[int, ...] | None,
    mapped: bool | None,
) -> FrameCache | None:
    """The cache of a file, made if it is to have one."""
    # of a file without a seal, the hash takes as long as reading it
    if check_seal(path) or path.with_name(path.name + SUFFIX).exists():
        cache = find_cache(path, bytes_sha256(path))
        if cache is not None:
            return cache
    size = _size(file, info)
    if not size.alike or (not mapped and size.frames < MAPPED_BYTES):
        return None
    episodes = _episodes(path, file, info, observation_shape)
    return make_cache(path, bytes_sha256(path), size.frames, episodes)


class _Size(NamedTuple):
    """Bytes of a file's episodes in memory.

    Args:
        frames: Of the observations.
        all: Of everything.
        alike: Whether the types are the same in every episode.
    """

    frames: int
    all: int
    alike: bool


def _size(file: h5py.File, info: DatasetInfo) -> _Size:
    total = {"observations": 0, "actions": 0, "rewards": 0}
    types = set()
    for column, i in itertools.product(total, range(info.num_episodes)):
        if has(file, f"{column}_{i}"):
            dataset = plain_dataset(file, f"{column}_{i}")
            total[column] += dataset.nbytes
            types.add((column, dataset.dtype))
    return _Size(total["observations"], sum(total.values()), len(types) == len(total))


def _episodes(
    path: Path, file: h5py.File, info: DatasetInfo, observation_shape: tuple[int, ...] | None
) -> Iterator[Episode]:
    """Yields d3rlpy's episodes; at their end, refuses those that are not what a file without a seal recorded."""
    unsealed = info.content_sha256 is not None and not check_seal(path)  # version 0.1's
    digest = hashlib.sha256()
    for episode in checked_episodes(path, file, info.action_size, observation_shape):
        if unsealed:
            digest.update(episode.digest())
        yield Episode(
            episode.observations,
            episode.actions if episode.actions.ndim == 2 else episode.actions[:, None],
            episode.rewards[:, None],
            episode.terminated,
        )
    if unsealed and digest.hexdigest() != info.content_sha256:
        raise DatasetFormatError(
            f"{path} has content {digest.hexdigest()[:12]}, its record says "
            f"{str(info.content_sha256)[:12]}: the file was changed; make it again."
        )


def _check_cached(
    path: Path, cache: FrameCache, info: DatasetInfo, observation_shape: tuple[int, ...] | None
) -> None:
    """Refuses what a reader may refuse of episodes that were checked when they were cached: a shape, an action."""
    actions = cache.columns.actions
    i = 0
    if np.issubdtype(actions.dtype, np.integer):
        i = int(np.searchsorted(cache.stops, int(actions.argmax()), side="right"))
    rows = slice(cache.starts[i], cache.stops[i])
    actions, rewards = actions[rows], cache.columns.rewards[rows]
    frames = np.broadcast_to(np.zeros((), cache.dtype), (len(actions), *cache.shape))  # of this shape, none read
    check_episode(path, i, frames, actions, rewards, info.action_size, observation_shape)
