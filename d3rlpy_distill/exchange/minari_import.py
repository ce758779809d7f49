"""Turns Minari's datasets into ours: read as they lie on disk, without an environment and without running anything."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import io
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, Discrete
from PIL import Image, UnidentifiedImageError

from ..data import DatasetInfo, EpisodeData, EpisodeWriter, Provenance
from ..data.hdf5.opening import open_hdf5
from ..data.hdf5.plain import has, holds_pictures, plain_dataset, plain_group, plain_pictures
from ..data.transitions import return_to_go
from ..errors import DamagedFileError, DatasetFormatError, DistillError, MissingExtraError, UnknownNameError
from ..files import read_json
from ..memory import check_fits
from ..tasks.gymnasium_spaces import ActionLayout, ObservationLayout
from .minari_spaces import AnySpace, Parts, is_jpeg_space, read_goal_space, read_space, space_json
from .transfer import Transfer
from .writing import Episodes, EpisodeStream, check_target, file_sha256, known_task, try_import, write_import

__all__ = ["DATASET_ID", "FINAL", "OURS", "UNKNOWN_SEED", "check_import_minari", "datasets_root", "import_minari"]

DATA, METADATA = "main_data.hdf5", "metadata.json"
FINAL = "final/observations"
"""Where a file of ours keeps the observation after each episode's last action; d3rlpy's format has no place for it."""
OURS = "d3rlpy_distill"
"""The key under which an export of ours says what Minari's metadata have no place for."""
UNKNOWN_SEED = -1
DATASET_ID = re.compile(r"(?:[-_\w][-_\w/]*[-_\w]/)?[-_\w]+-v\d+")
"""As Minari takes it: a namespace has two characters or more."""
JPEG = b"\xff\xd8\xff"  # as every one begins
MAX_METADATA = 1 << 26  # bytes; the bounds of an image space take some
MAX_EPISODES = 1 << 24


def import_minari(
    source: str | Path,
    path: str | Path,
    *,
    task: str | None = None,
    command: str = "",
    on_episode: Callable[[], None] | None = None,
) -> DatasetInfo:
    """Writes one of Minari's datasets as one of ours.

    Observations become arrays as :class:`~..tasks.gymnasium_spaces.ObservationLayout` says: images channel-first,
    everything else float32 vectors; those of goal-conditioned tasks are joined with their goal. Seeds, terminations,
    truncations and returns are kept for each episode, the spaces in the provenance, the last observations beside the
    episodes: an export gives all of it back.

    Args:
        source: A dataset's directory, its ``main_data.hdf5``, or an id such as ``"mujoco/hopper/expert-v0"``, which
            Minari downloads unless it has it.
        path: The file to make. It appears only when it is complete.
        task: What the data were recorded on; by default what they say.
        command: Command line to record.
        on_episode: Called after each episode.

    Raises:
        UnknownNameError: If there is neither such a directory nor such an id, or no such task.
        MissingExtraError: If an id is to be downloaded and Minari is not installed.
        DatasetFormatError: If the dataset is damaged, or not of observations and actions that we have arrays for.
        OutputExistsError: If ``path`` holds anything else.
    """
    if _is_to_be_downloaded(source):
        _download(str(source))
    file = _find(source)
    provenance, episodes, _ = _planned(file, task, command)
    return write_import(str(file), Path(path), provenance, episodes, on_episode)


def check_import_minari(source: str | Path, path: str | Path, *, task: str | None = None) -> Transfer:
    """Says what :func:`import_minari` would do. Nothing is downloaded: the server is asked how much that would be.

    Args: those of :func:`import_minari`.

    Raises: those of :func:`import_minari`, as far as the first episodes show them, but for InUseError.
    """
    path = Path(path)
    if _is_to_be_downloaded(source):
        if task is not None:
            known_task(task)
        check_target(path, str(source))
        return Transfer(str(source), _download_bytes(str(source)), path, None, None)
    file = _find(source)
    return try_import(file, path, *_planned(file, task, ""))


def _planned(file: Path, task: str | None, command: str) -> tuple[Provenance, Episodes, int]:
    """What is recorded of a dataset, its episodes, and how many they are."""
    about = _About.read(file)
    settings = {
        "source": about.dataset_id or file.parent.name,
        "file_bytes": file.stat().st_size,
        "file_sha256": file_sha256(file),
        "minari": {
            "version": about.version,
            "observation_space": None if about.observations is None else space_json(about.observations),
            "action_space": None if about.actions is None else space_json(about.actions),
            "env_spec": about.env_spec,
        },
    }
    layout = _Layout.of(file, about)
    recorded = about.task if task is None else known_task(task)[0]
    provenance = Provenance("imported", recorded, layout.actions.size, command, settings)

    def episodes(writer: EpisodeWriter) -> EpisodeStream:
        return _episodes(file, layout, writer)

    return provenance, episodes, layout.count


def datasets_root() -> Path:
    """Returns the directory where Minari keeps its datasets: ``$MINARI_DATASETS_PATH``, or ``~/.minari/datasets``."""
    given = os.environ.get("MINARI_DATASETS_PATH")
    return Path(given) if given else Path.home() / ".minari" / "datasets"


def _is_to_be_downloaded(source: str | Path) -> bool:
    """Whether a source is an id that Minari does not have."""
    name = str(source)
    return (
        not Path(source).exists()
        and DATASET_ID.fullmatch(name) is not None
        and not (datasets_root() / name / "data").exists()
    )


def _find(source: str | Path) -> Path:
    """Returns the HDF5 file of a dataset that lies here."""
    path = Path(source)
    if path.is_file():
        return path
    for place in (path, path / "data"):
        if (place / DATA).is_file():
            return place / DATA
        if (place / METADATA).is_file():
            raise DatasetFormatError(
                f"{place} has no {DATA}: expected Minari's format hdf5; with Minari, copy its episodes to one."
            )
    if path.exists():
        raise DatasetFormatError(
            f"{path} is no dataset of Minari's: expected {DATA} in it, or in its directory data."
        )
    name = str(source)
    if DATASET_ID.fullmatch(name) is None:
        raise UnknownNameError(
            f"{name!r} does not exist: expected a directory of Minari's, its {DATA}, or an id such as "
            "mujoco/hopper/expert-v0."
        )
    there = datasets_root() / name / "data"
    if not (there / DATA).is_file():
        raise DatasetFormatError(f"{there} has no {DATA}: expected Minari's format hdf5.")
    return there / DATA


def _download(name: str) -> None:
    with _asking(name):
        import minari

        minari.download_dataset(name)


def _download_bytes(name: str) -> int | None:
    """Returns the size of a dataset, as Minari's server tells it; None if it does not.

    Raises: those of a download.
    """
    with _asking(name):
        import minari

        there = minari.list_remote_datasets(prefix=name.rpartition("-v")[0], compatible_minari_version=True)
        if name not in there:
            raise ValueError("there is none of that id which this version of Minari reads")
        megabytes = there[name].get("dataset_size")
        return None if megabytes is None else round(float(megabytes) * 1e6)


@contextlib.contextmanager
def _asking(name: str) -> Iterator[None]:
    """Turns what goes wrong with Minari's server into one line.

    Raises:
        MissingExtraError: If Minari is not installed.
        DistillError: If it does not give the dataset.
    """
    if importlib.util.find_spec("minari") is None:
        raise MissingExtraError(
            f"Minari's dataset {name!r} is not in {datasets_root()}; to download it type: pip install "
            "'d3rlpy-distill[hub,minari]'"
        )
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except Exception as error:  # whatever the library that it downloads with raises
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DistillError(
            f"Minari's dataset {name!r} cannot be downloaded ({reason}): where there is no network, give a directory "
            "of Minari's instead."
        ) from error


@dataclasses.dataclass(frozen=True)
class _About:
    """What a dataset's ``metadata.json`` says; of a file alone, nothing.

    Args:
        dataset_id: Its id.
        version: Minari's.
        observations: Their space.
        actions: Their space.
        env_spec: The environment, as gymnasium writes it; kept, and never made.
        task: What it was recorded on, where that has a name here.
        parts: Of observations that are joined from several arrays.
    """

    dataset_id: str | None = None
    version: str | None = None
    observations: AnySpace | None = None
    actions: AnySpace | None = None
    env_spec: str | None = None
    task: str | None = None
    parts: Parts = ()

    @classmethod
    def read(cls, file: Path) -> _About:
        path = file.with_name(METADATA)
        if not path.is_file():
            return cls()
        if path.stat().st_size > MAX_METADATA:
            raise DatasetFormatError(f"{path} has more than {MAX_METADATA} bytes: expected some thousands.")
        try:
            told = read_json(path)
        except DamagedFileError as error:
            raise DatasetFormatError(str(error)) from error
        if not isinstance(told, Mapping):
            raise DatasetFormatError(f"{path} is damaged: expected a JSON object.")
        if told.get("data_format", "hdf5") != "hdf5":
            raise DatasetFormatError(f"{path} says format {told['data_format']!r}: expected Minari's hdf5.")
        seen, done = (told.get(key) for key in ("observation_space", "action_space"))
        goal = None if seen is None else read_goal_space(str(seen), f"{path}, observation_space")
        plain = None if seen is None or goal else read_space(str(seen), f"{path}, observation_space")
        env_spec = told.get("env_spec")
        ours = told.get(OURS)
        task = ours.get("task") if isinstance(ours, Mapping) else None
        return cls(
            dataset_id=_text(told.get("dataset_id")),
            version=_text(told.get("minari_version")),
            observations=goal[0] if goal else plain,
            actions=None if done is None else read_space(str(done), f"{path}, action_space"),
            env_spec=_text(env_spec),
            task=_text(task) or _task_of(env_spec),
            parts=goal[1] if goal else (),
        )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _task_of(env_spec: object) -> str | None:
    """The task of an environment that gymnasium names."""
    try:
        name = json.loads(str(env_spec))["id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return f"gym/{name}" if isinstance(name, str) and name else None


@dataclasses.dataclass(frozen=True)
class _Layout:
    """How a file's observations and actions become arrays.

    Args:
        observations: Of observations.
        actions: Of actions.
        seeds: Whether any episode says its seed.
        count: Number of episodes.
        parts: Of observations that are joined from several arrays.
    """

    observations: ObservationLayout
    actions: ActionLayout
    seeds: bool
    count: int
    parts: Parts

    @classmethod
    def of(cls, file: Path, about: _About) -> _Layout:
        """What the metadata say, or what the arrays show.

        Raises:
            DatasetFormatError: If there are no arrays for it.
        """
        with open_hdf5(file) as opened:
            names = [name for name in opened if name.startswith("episode_")]
            if not 0 < len(names) <= MAX_EPISODES or not has(opened, "episode_0"):
                raise DatasetFormatError(
                    f"{file} has no episode_0: it is no dataset of Minari's, or an empty one."
                )
            seeds = any("seed" in plain_group(opened, name).attrs for name in names)
            first = plain_group(opened, "episode_0")
            seen = about.observations or _space_of(first, "observations", False, range(len(names)), opened)
            done = about.actions or _space_of(first, "actions", True, range(len(names)), opened)
        try:
            layouts = ObservationLayout.of(seen, str(file)), ActionLayout.of(done, str(file))
        except DistillError as error:
            raise DatasetFormatError(str(error)) from error
        return cls(*layouts, seeds=seeds, count=len(names), parts=about.parts)


def _space_of(first: h5py.Group, name: str, actions: bool, episodes: Sequence[int], file: h5py.File) -> AnySpace:
    """The space of values whose metadata are missing: without bounds, with as many actions as occur."""
    if not actions and holds_pictures(first, name):
        picture = plain_pictures(first, name)[0]
        if picture[: len(JPEG)].tobytes() == JPEG:
            return Box(0, 255, _decoded(first.name, picture, None).shape, np.uint8)
    values = plain_dataset(first, name)
    if actions and values.dtype.kind in "iu":
        largest = max(
            int(plain_dataset(plain_group(file, f"episode_{i}"), name)[()].max(initial=0)) for i in episodes
        )
        return Discrete(largest + 1)
    if values.dtype == np.uint8:
        return Box(0, 255, values.shape[1:], np.uint8)
    return Box(-np.inf, np.inf, values.shape[1:], np.float32)


def _episodes(file: Path, layout: _Layout, writer: EpisodeWriter) -> EpisodeStream:
    """Yields the episodes; attaches the observations after the last actions, ``(E, ...)``."""
    last = []
    with open_hdf5(file) as opened:
        for i in range(layout.count):
            episode, final = _episode(f"{file}, episode_{i}", plain_group(opened, f"episode_{i}"), layout)
            last.append(final)
            yield episode
    writer.attach(FINAL, np.stack(last))


def _episode(where: str, group: h5py.Group, layout: _Layout) -> tuple[EpisodeData, npt.NDArray[Any]]:
    columns = {name: plain_dataset(group, name)[()] for name in ("rewards", "terminations", "truncations")}
    rewards = columns["rewards"].astype(np.float32).reshape(-1)
    terminations, truncations = (columns[name].reshape(-1) != 0 for name in ("terminations", "truncations"))
    actions = _actions(where, plain_dataset(group, "actions"), layout.actions)
    count = len(rewards)
    if not len(actions) == len(terminations) == len(truncations) == count or count == 0:
        raise DatasetFormatError(
            f"{where}: {len(actions)} actions, {count} rewards, {len(terminations)} terminations and "
            f"{len(truncations)} truncations: expected equally many, at least one."
        )
    if terminations[:-1].any() or truncations[:-1].any():
        raise DatasetFormatError(
            f"{where}: it ends before its last step: split it in Minari, so that each episode ends once."
        )
    if layout.parts:
        observations = _joined(where, group, count + 1, layout)
    else:
        observations = _observations(where, group, count + 1, layout.observations)
    info: dict[str, float | int | bool] = {
        "return": float(rewards.sum(dtype=np.float64)),
        "length": count,
        "timeout": bool(truncations[-1]),
    }
    if layout.seeds:
        info["seed"] = _seed(where, group)
    episode = EpisodeData(
        observations=observations[:count],
        actions=actions,
        rewards=rewards,
        terminated=bool(terminations[-1]),
        info=info,
        steps={"return_to_go": return_to_go(rewards)},
    )
    return episode, observations[count]


def _seed(where: str, group: h5py.Group) -> int:
    if "seed" not in group.attrs:
        return UNKNOWN_SEED
    value = group.attrs["seed"]
    if np.ndim(value) or not isinstance(value, (int, np.integer)) or not 0 <= int(value) < 2**63:
        raise DatasetFormatError(f"{where}: seed {value!r}: expected a number from 0 to 2^63.")
    return int(value)


def _actions(where: str, values: h5py.Dataset, layout: ActionLayout) -> npt.NDArray[Any]:
    given: npt.NDArray[Any] = values[()]
    if isinstance(layout.space, Discrete):
        if given.dtype.kind not in "iu" or given.ndim != 1:
            raise DatasetFormatError(f"{where}: actions {given.dtype} {given.shape}: expected integers (L,).")
        return (given.astype(np.int64) - int(layout.space.start)).astype(np.int32)
    if given.dtype.kind not in "iuf" or given.ndim == 0 or given[:1].size != layout.size * len(given[:1]):
        raise DatasetFormatError(
            f"{where}: actions {given.dtype} {given.shape}: expected numbers (L, {layout.size})."
        )
    return given.reshape(len(given), layout.size).astype(np.float32)


def _observations(where: str, group: h5py.Group, count: int, layout: ObservationLayout) -> npt.NDArray[Any]:
    """Returns L + 1 observations as arrays ``(L + 1, ...)``."""
    space = layout.space
    check_fits(where, count * math.prod(layout.shape) * layout.dtype.itemsize)
    if is_jpeg_space(space) and holds_pictures(group, "observations"):
        pictures = plain_pictures(group, "observations")
        if len(pictures) != count:
            raise DatasetFormatError(f"{where}: {len(pictures)} observations: expected {count}.")
        given: Iterator[Any] = (_decoded(where, pictures[i], space.shape) for i in range(count))
    else:
        values = plain_dataset(group, "observations")
        expected = (count, *(space.shape or ()))
        if values.shape != expected or values.dtype.kind not in "biuf":
            raise DatasetFormatError(
                f"{where}: observations {values.dtype} {values.shape}: expected numbers {expected}, one more than "
                "steps."
            )
        given = iter(values[()])
    out: npt.NDArray[Any] = np.empty((count, *layout.shape), layout.dtype)
    for i, one in enumerate(given):
        if isinstance(space, Discrete) and not 0 <= int(one) - int(space.start) < int(space.n):
            raise DatasetFormatError(f"{where}: observation {one}: expected one of {space}.")
        out[i] = layout.read(one)
    return out


def _joined(where: str, group: h5py.Group, count: int, layout: _Layout) -> npt.NDArray[np.float32]:
    """Returns L + 1 observations whose parts lie in arrays of their own, float32 ``(L + 1, D)``."""
    width = layout.observations.shape[0]
    check_fits(where, count * width * layout.observations.dtype.itemsize)
    columns = []
    for *groups, name in layout.parts:
        holder = plain_group(group, "observations")
        for key in groups:
            holder = plain_group(holder, key)
        values = plain_dataset(holder, name)
        if values.dtype.kind not in "biuf" or not values.ndim or len(values) != count:
            raise DatasetFormatError(
                f"{where}: {name} {values.dtype} {values.shape}: expected {count} rows of numbers, one more than steps."
            )
        columns.append(values[()].reshape(count, -1).astype(np.float32))
    joined: npt.NDArray[np.float32] = np.concatenate(columns, axis=1)
    if joined.shape[1] != width:
        raise DatasetFormatError(f"{where}: observations of {joined.shape[1]} numbers: expected {width}.")
    return joined


def _decoded(where: str, picture: npt.NDArray[np.uint8], shape: tuple[int, ...] | None) -> npt.NDArray[np.uint8]:
    """Returns a JPEG's pixels, ``(H, W, 3)`` or ``(H, W)``; refuses any other shape before it is unpacked.

    Raises:
        DatasetFormatError: If it is no JPEG of that shape.
    """
    try:
        with Image.open(io.BytesIO(picture.tobytes()), formats=("JPEG",)) as image:
            sides = (image.height, image.width)
            if shape is not None and sides != tuple(shape[:2]):
                raise DatasetFormatError(f"{where}: a frame of {sides} pixels: expected {tuple(shape[:2])}.")
            frame: npt.NDArray[np.uint8] = np.asarray(image, np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        # of what is no picture at all, its message is an address in memory
        reason = "" if isinstance(error, UnidentifiedImageError) else f" ({error})"
        raise DatasetFormatError(f"{where}: a frame that is no JPEG{reason}.") from error
    if shape is not None and frame.shape != tuple(shape):
        raise DatasetFormatError(f"{where}: a frame of shape {frame.shape}: expected {tuple(shape)}.")
    return frame
