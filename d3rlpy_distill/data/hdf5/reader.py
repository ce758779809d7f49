"""Reads d3rlpy HDF5 2.1, ours or d3rlpy's own, and refuses what is not whole."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from ...cores import available_cores
from ...errors import DatasetFormatError, OutputExistsError
from ...files import SEAL_BYTES, check_seal
from ...memory import check_fits
from .frames import read_frames
from .opening import open_dataset
from .plain import has, plain_dataset, plain_group
from .provenance import Provenance
from .writer import COLUMNS, FORMAT, EpisodeData

__all__ = [
    "DatasetInfo",
    "check_episode",
    "checked_episodes",
    "info_of",
    "read_episodes",
    "read_extras",
    "read_info",
    "read_own",
]

READ_AHEAD = 4  # episodes that are decompressed while others are read


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """What a dataset file says of itself.

    Args:
        path: The file.
        num_episodes: Number of episodes.
        action_size: Number of discrete actions.
        provenance: None if another program wrote the file.
        content_sha256: Hash of the episodes; None likewise.
        num_transitions: Sum of the episodes' lengths; None likewise.
        return_mean: Mean of the episodes' returns; None likewise.
        action_histogram: How often each action was taken; None likewise.
    """

    path: Path
    num_episodes: int
    action_size: int
    provenance: Provenance | None
    content_sha256: str | None
    num_transitions: int | None
    return_mean: float | None
    action_histogram: list[int] | None


def read_info(path: str | Path) -> DatasetInfo:
    """Reads a file's description without its episodes.

    Raises:
        DatasetFormatError: If it is not a complete dataset.
    """
    with open_dataset(Path(path)) as file:
        return info_of(Path(path), file)


def read_own(path: str | Path, provenance: Provenance) -> DatasetInfo:
    """Reads the description of an output that exists already, if it is the one that would be made.

    Raises:
        OutputExistsError: If it was made by other settings, for another task, or by another program.
        DatasetFormatError: If it is not a complete dataset.
    """
    info = read_info(path)
    known = {} if info.provenance is None else info.provenance.to_attributes()
    wanted = provenance.to_attributes()
    if any(known.get(key) != wanted[key] for key in ("kind", "task", "action_size", "settings")):
        raise OutputExistsError(
            f"{path} exists already and holds something else: give another --out, or remove it with 'rm {path}'."
        )
    return info


def info_of(path: Path, file: h5py.File) -> DatasetInfo:
    """Returns the description of an open file."""
    attrs = dict(file.attrs)
    ours = "format" in attrs
    if ours and attrs["format"] == FORMAT and not check_seal(path):
        raise DatasetFormatError(f"{path} is damaged: its seal, the first {SEAL_BYTES} bytes, was removed.")
    return DatasetInfo(
        path=path,
        num_episodes=_num_episodes(path, file),
        action_size=int(attrs["action_size"]) if ours else _infer_action_size(file),
        provenance=Provenance.from_attributes(attrs) if ours else None,
        content_sha256=str(attrs["content_sha256"]) if ours else None,
        num_transitions=int(attrs["num_transitions"]) if ours else None,
        return_mean=float(attrs["return_mean"]) if ours else None,
        action_histogram=[int(n) for n in attrs["action_histogram"]] if ours else None,
    )


def _infer_action_size(file: h5py.File) -> int:
    """What a file of another program leaves out, as d3rlpy infers it."""
    first = plain_dataset(file, "actions_0")
    if np.issubdtype(first.dtype, np.floating):
        return int(first.shape[-1])
    columns = (plain_dataset(file, f"actions_{i}") for i in range(_num_episodes(Path(file.filename), file)))
    return max(int(actions[()].max(initial=0)) for actions in columns) + 1


def _num_episodes(path: Path, file: h5py.File) -> int:
    """The number of episodes, each of which has four members."""
    told = plain_dataset(file, "num_episodes")
    if told.shape or told.dtype.kind not in "iu":
        raise DatasetFormatError(f"{path}: num_episodes is {told.dtype} {told.shape}: expected a whole number.")
    count = int(told[()])
    if not 1 <= count <= len(file) // len(COLUMNS):
        raise DatasetFormatError(
            f"{path} says that it has {count} episodes: expected 1 to {len(file) // len(COLUMNS)}."
        )
    return count


def read_extras(path: str | Path, group: str) -> dict[str, npt.NDArray[Any]]:
    """Reads one of the extra groups whole; empty if the file has no such group.

    Args:
        path: The file.
        group: ``"episodes"`` (level_seed, return, length, timeout, level_complete; each ``(E,)``), ``"steps"``
            (return_to_go ``(N,)``, action_probabilities ``(N, 15)``, in the order of the episodes) or
            ``"initial"`` (of a distilled file: the frames it started from).

    Raises:
        DatasetFormatError: If it is not a complete dataset.
    """
    with open_dataset(Path(path)) as file:
        if not has(file, group):
            return {}
        group_of = plain_group(file, group)
        members = {key: plain_dataset(group_of, key) for key in group_of}
        check_fits(f"{path}, {group}", sum(each.nbytes for each in members.values()))
        return {key: each[()] for key, each in members.items()}


def read_episodes(path: str | Path, *, action_size: int | None = None) -> Iterator[EpisodeData]:
    """Yields a file's episodes one by one, with what the groups ``episodes`` and ``steps`` say of them.

    Args:
        path: The file.
        action_size: Number of actions, where the file does not say it; by default inferred as d3rlpy does.

    Raises:
        DatasetFormatError: As :func:`~.loading.load_dataset`.
    """
    path = Path(path)
    info, steps = read_extras(path, "episodes"), read_extras(path, "steps")
    with open_dataset(Path(path)) as file:
        count, start = _num_episodes(path, file), 0
        about = info_of(path, file)
        size = about.action_size if action_size is None or about.provenance is not None else action_size
        for key, values in info.items():
            if values.shape != (count,):
                raise DatasetFormatError(f"{path}: episodes/{key} has shape {values.shape}: expected {(count,)}.")
        for i, episode in enumerate(checked_episodes(path, file, size, None)):
            stop = start + len(episode.actions)
            for key, values in steps.items():
                if not values.ndim or len(values) < stop:
                    raise DatasetFormatError(
                        f"{path}: steps/{key} has shape {values.shape}: expected {stop} rows or more."
                    )
            yield dataclasses.replace(
                episode,
                info={key: values[i].item() for key, values in info.items()},
                steps={key: values[start:stop] for key, values in steps.items()},
            )
            start = stop


def checked_episodes(
    path: Path, file: h5py.File, action_size: int, observation_shape: tuple[int, ...] | None
) -> Iterator[EpisodeData]:
    """Yields an open file's episodes, checked; while one is used, the next ones are decompressed.

    Args:
        path: The file, for messages.
        file: It, open.
        action_size: Number of discrete actions, or D.
        observation_shape: Refuse any other.

    Raises:
        DatasetFormatError: If an episode is none.
    """
    columns = set(plain_dataset(file, "columns", text=True).asstr()[()])
    if columns != set(COLUMNS):
        raise DatasetFormatError(f"{path} has columns {sorted(columns)}: expected {sorted(COLUMNS)}.")
    count = _num_episodes(path, file)
    first: EpisodeData | None = None
    loading: deque[Future[npt.NDArray[Any]]] = deque()
    with ThreadPoolExecutor(max_workers=available_cores()) as pool:
        for i in range(count):
            for j in range(i + len(loading), min(i + READ_AHEAD, count)):
                if not has(file, f"observations_{j}"):
                    raise DatasetFormatError(
                        f"{path}: observations_{j} is missing, or is a tuple: expected one array an episode."
                    )
                loading.append(pool.submit(read_frames(plain_dataset(file, f"observations_{j}"))))
            observations = loading.popleft().result()
            actions, rewards = (plain_dataset(file, f"{column}_{i}")[()] for column in ("actions", "rewards"))
            check_episode(path, i, observations, actions, rewards, action_size, observation_shape)
            if np.issubdtype(actions.dtype, np.integer):
                actions = actions[:, 0]
            terminated = plain_dataset(file, f"terminated_{i}")[()]
            if np.ndim(terminated) or terminated not in (0, 1):
                raise DatasetFormatError(
                    f"{path}, episode {i}: terminated is {terminated}: expected true or false."
                )
            episode = EpisodeData(observations, actions, rewards[:, 0], bool(terminated))
            first = first or episode
            _check_alike(path, i, episode, first)
            yield episode


def _check_alike(path: Path, i: int, episode: EpisodeData, first: EpisodeData) -> None:
    """Refuses an episode that is not of the same task as the first."""
    for name in ("observations", "actions"):
        one, other = getattr(episode, name), getattr(first, name)
        kinds = [np.issubdtype(array.dtype, np.floating) for array in (one, other)]
        if one.shape[1:] != other.shape[1:] or (name == "actions" and kinds[0] != kinds[1]):
            raise DatasetFormatError(
                f"{path}, episode {i}: {name} of shape {one.shape[1:]}, {one.dtype}: expected {other.shape[1:]}, "
                f"{other.dtype}, as in episode 0."
            )


def check_episode(
    path: Path,
    i: int,
    observations: npt.NDArray[Any],
    actions: npt.NDArray[Any],
    rewards: npt.NDArray[Any],
    action_size: int,
    observation_shape: tuple[int, ...] | None = None,
) -> None:
    """Refuses an episode that is none: other shapes and types than these, NaN, actions out of range.

    Args:
        path: The file, for messages.
        i: The episode's number, likewise.
        observations: ``(L, ...)``.
        actions: Integers ``(L, 1)``, or floats ``(L, D)``.
        rewards: ``(L, 1)``.
        action_size: Number of discrete actions, or D.
        observation_shape: Refuse any other.

    Raises:
        DatasetFormatError: Naming what is off.
    """
    where = f"{path}, episode {i}"
    if observation_shape is not None and observations.shape[1:] != observation_shape:
        raise DatasetFormatError(
            f"{where}: observations of shape {observations.shape[1:]}: expected {observation_shape}."
        )
    length = len(observations)
    continuous = np.issubdtype(actions.dtype, np.floating)
    width = action_size if continuous else 1
    if length == 0 or actions.shape != (length, width) or rewards.shape != (length, 1):
        raise DatasetFormatError(
            f"{where}: {length} observations, actions {actions.shape} of type {actions.dtype} and rewards "
            f"{rewards.shape}: expected discrete actions ({length}, 1), integers, or continuous ones "
            f"({length}, {action_size}), floats, and rewards ({length}, 1); at least one step."
        )
    if continuous:
        if not _finite(actions):
            raise DatasetFormatError(f"{where}: NaN or infinite values in the actions, as 32-bit numbers.")
    elif not np.issubdtype(actions.dtype, np.integer):
        raise DatasetFormatError(f"{where}: actions of type {actions.dtype}: expected integers or floats.")
    elif actions.min() < 0 or actions.max() >= action_size:
        off = actions.max() if actions.max() >= action_size else actions.min()
        raise DatasetFormatError(f"{where}: action {off}: expected 0 to {action_size - 1}.")
    if not _finite(observations):
        raise DatasetFormatError(f"{where}: NaN or infinite values in the observations, as 32-bit numbers.")
    if not _finite(rewards):
        raise DatasetFormatError(f"{where}: NaN or infinite rewards, as 32-bit numbers.")


def _finite(values: npt.NDArray[Any]) -> bool:
    """Whether networks can be trained on the values: they are finite as float32."""
    if not np.issubdtype(values.dtype, np.floating):
        return True
    with np.errstate(over="ignore"):
        return bool(np.isfinite(values.astype(np.float32, copy=False)).all())
