"""Turns our datasets into Minari's, which Minari writes itself; what it reads back is compared before it appears."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import itertools
import re
import secrets
import shutil
import tempfile
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box, Discrete

from ..data import DatasetInfo, EpisodeData, read_episodes, read_extras, read_info
from ..errors import DistillError, MissingExtraError, OutputExistsError, SettingsError
from ..files import check_directory, claimed
from ..tasks import make_task
from ..tasks.gymnasium import GymnasiumTask
from ..tasks.gymnasium_spaces import ActionLayout, ObservationLayout
from .minari_import import DATASET_ID, FINAL, OURS, UNKNOWN_SEED, datasets_root
from .minari_spaces import AnySpace, is_jpeg_space, read_space
from .transfer import Transfer, Tried

if TYPE_CHECKING:
    from minari import MinariDataset

__all__ = ["MinariExport", "check_export_minari", "export_minari"]

COLOURS = 3


@dataclasses.dataclass(frozen=True)
class MinariExport:
    """A dataset that Minari reads.

    Args:
        dataset_id: What ``minari.load_dataset`` takes, where ``path`` lies in Minari's own directory.
        path: Its directory.
        episodes: Number of episodes.
        steps: Number of steps.
        jpeg: Whether Minari keeps its frames as JPEG, which changes them a little.
        repeated: Whether last observations are repeats of those before them, since the file does not have them.
    """

    dataset_id: str
    path: Path
    episodes: int
    steps: int
    jpeg: bool
    repeated: bool


def export_minari(
    file: str | Path,
    dataset_id: str | None = None,
    *,
    root: str | Path | None = None,
    overwrite: bool = False,
) -> MinariExport:
    """Writes a dataset of ours, or a file of d3rlpy's, as one of Minari's.

    The file alone is enough: no environment is made. Spaces are those of the import that the file comes from; else
    observations are a ``Box`` of the arrays' shape, images channel-first, which Minari keeps losslessly, and actions a
    ``Discrete`` or a ``Box``, with the task's bounds where gymnasium has it. Seeds, terminations and truncations are
    kept. Minari wants one observation more than steps: where the file has none, the last one is repeated. What stands
    beside the transitions, such as soft labels, has no place in it.

    Args:
        file: The dataset.
        dataset_id: For example ``"me/cartpole-v0"``; by default the file's name and ``-v0``.
        root: Directory of datasets; by default Minari's own.
        overwrite: Replace a dataset that is there.

    Raises:
        MissingExtraError: If Minari is not installed.
        SettingsError: If the id is none.
        OutputExistsError: If there is such a dataset and ``overwrite`` is False.
        DatasetFormatError: If the file is damaged.
        DistillError: If Minari cannot keep such data, or reads back something else.
    """
    file = Path(file)
    name, path = _target(file, dataset_id, root)
    info = read_info(file)
    plan = _Plan.of(file, info)
    with claimed(path.parent / f".{path.name}.export"):
        _check_free(path, overwrite)
        partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
        partial.mkdir(parents=True)
        old = partial.with_suffix(".old")
        try:
            _write(partial / "data", name, file, info, plan, plan.episodes(file))
            steps = _check(partial / "data", file, plan, info.num_episodes)
            if path.exists():
                _check_theirs(path)
                path.rename(old)  # removed once the new one stands: at any moment one of them is whole
            partial.rename(path)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            if old.exists() and not path.exists():
                old.rename(path)
            shutil.rmtree(partial, ignore_errors=True)
    return MinariExport(name, path, info.num_episodes, steps, plan.jpeg, plan.final is None)


def check_export_minari(
    file: str | Path,
    dataset_id: str | None = None,
    *,
    root: str | Path | None = None,
    overwrite: bool = False,
) -> Transfer:
    """Says what :func:`export_minari` would do; the first episodes are exported into a temporary directory.

    Args: those of :func:`export_minari`.

    Raises: those of :func:`export_minari`, as far as these episodes show them, but for InUseError.
    """
    file = Path(file)
    name, path = _target(file, dataset_id, root)
    info = read_info(file)
    plan = _Plan.of(file, info)
    check_directory(path.parent)
    _check_free(path, overwrite)
    if path.exists():
        _check_theirs(path)
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory).absolute() / "data"
        tried = Tried(plan.episodes(file), info.num_episodes)
        _write(data, name, file, info, plan, tried)
        _check(data, file, plan, tried.count)
        return tried.transfer(file, path, sum(one.stat().st_size for one in data.iterdir()))


def _target(file: Path, dataset_id: str | None, root: str | Path | None) -> tuple[str, Path]:
    """The dataset's id and its directory."""
    if importlib.util.find_spec("minari") is None:
        raise MissingExtraError("Minari is not installed; type: pip install 'd3rlpy-distill[minari]'")
    name = dataset_id or re.sub(r"[^-\w]+", "-", file.stem) + "-v0"
    if DATASET_ID.fullmatch(name) is None:
        raise SettingsError(f"id {name!r}: expected (NAMESPACE/)NAME-vNUMBER, for example me/cartpole-v0.")
    return name, (
        datasets_root() if root is None else Path(root)
    ).absolute() / name  # Minari fails at relative ones


def _check_free(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise OutputExistsError(f"{path} exists already: give another --id, or replace it with --overwrite.")


def _check_theirs(path: Path) -> None:
    """Refuses to replace anything but a dataset of Minari's alone."""
    there = {one.name for one in path.iterdir()} if path.is_dir() else set()
    inside = {one.name for one in (path / "data").iterdir()} if there == {"data"} else set()
    if not inside <= {"main_data.hdf5", "metadata.json"} or not inside:
        raise OutputExistsError(f"{path} is no dataset of Minari's alone: move it, or give another --id.")


@dataclasses.dataclass(frozen=True, eq=False)
class _Plan:
    """How a file becomes a dataset of Minari's.

    Args:
        observations: Their space.
        actions: Their space.
        env_spec: The environment; None where gymnasium has none of that name.
        final: The observations after the last actions, ``(E, ...)``; None if the file has none.
    """

    observations: AnySpace
    actions: AnySpace
    env_spec: EnvSpec | None
    final: npt.NDArray[Any] | None

    @classmethod
    def of(cls, file: Path, info: DatasetInfo) -> _Plan:
        first = next(read_episodes(file))
        group, _, name = FINAL.partition("/")
        final = read_extras(file, group).get(name)
        if final is not None and final.shape != (info.num_episodes, *first.observations.shape[1:]):
            raise DistillError(f"{file}: last observations of shape {final.shape} do not fit its episodes.")
        recorded = info.provenance.settings.get("minari") if info.provenance else None
        told: Mapping[str, Any] = recorded if isinstance(recorded, Mapping) else {}
        task = info.provenance.task if info.provenance else None
        return cls(
            observations=_observation_space(file, told.get("observation_space"), first),
            actions=_action_space(file, told.get("action_space"), first, info.action_size, task),
            env_spec=_env_spec(told.get("env_spec"), task),
            final=final,
        )

    @property
    def jpeg(self) -> bool:
        """Whether Minari keeps frames as JPEG."""
        return is_jpeg_space(self.observations)

    def episodes(self, file: Path) -> Generator[_Episode, None, None]:
        """Yields the file's episodes as Minari has them."""
        for i, episode in enumerate(read_episodes(file)):
            seen = episode.observations
            final = seen[-1:] if self.final is None else self.final[i : i + 1]
            count = len(episode.actions)
            terminations, truncations = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
            terminations[-1] = episode.terminated
            truncations[-1] = bool(episode.info.get("timeout", not episode.terminated))
            seed = int(episode.info.get("seed", episode.info.get("level_seed", UNKNOWN_SEED)))
            yield _Episode(
                seed=None if seed == UNKNOWN_SEED else seed,
                observations=_as_seen(np.concatenate([seen, final]), self.observations),
                actions=_as_done(episode.actions, self.actions),
                rewards=episode.rewards.astype(np.float64),
                terminations=terminations,
                truncations=truncations,
            )


@dataclasses.dataclass(frozen=True, eq=False)
class _Episode:
    """An episode of L steps in Minari's spaces: ``(L + 1, ...)`` observations, ``(L, ...)`` everything else."""

    seed: int | None
    observations: npt.NDArray[Any]
    actions: npt.NDArray[Any]
    rewards: npt.NDArray[np.float64]
    terminations: npt.NDArray[np.bool_]
    truncations: npt.NDArray[np.bool_]


def _observation_space(file: Path, recorded: object, first: EpisodeData) -> AnySpace:
    seen = first.observations
    plain: AnySpace = (
        Box(0, 255, seen.shape[1:], np.uint8)
        if seen.dtype == np.uint8
        else Box(-np.inf, np.inf, seen.shape[1:], np.float32)
    )
    if not isinstance(recorded, str):
        return plain
    space = read_space(recorded, f"{file}, observation_space")
    fits = ObservationLayout.of(space, str(file)).shape == seen.shape[1:]
    return space if fits and _can_be_kept(space, seen.shape[1:]) else plain


def _can_be_kept(space: AnySpace, shape: tuple[int, ...]) -> bool:
    """Whether Minari 0.5.3 reads what it writes of a space, and we can turn arrays of this shape back into it.

    Minari packs bytes with no channels, or one or three as the last axis, as JPEG, whatever the space; it unpacks
    images of 32x32 and more, however many channels they have; and it cannot pack those with an axis for one.
    """
    if isinstance(space, Discrete) or len(space.shape) < 2:
        return True
    if len(space.shape) > 3:
        return space.shape == shape
    grey = len(space.shape) == 2
    packed = space.dtype == np.uint8 and (grey or space.shape[-1] in (1, COLOURS))
    return packed == is_jpeg_space(space) and (grey or not packed or space.shape[-1] == COLOURS)


def _action_space(
    file: Path, recorded: object, first: EpisodeData, action_size: int, task: str | None
) -> AnySpace:
    if isinstance(recorded, str):
        space = read_space(recorded, f"{file}, action_space")
        if ActionLayout.of(space, str(file)).size == action_size:
            return space
    if first.actions.ndim == 1:
        return Discrete(action_size)
    if task is not None:
        with contextlib.suppress(DistillError):  # of a plug-in, or a simulator, that is not installed here
            known = make_task(task)
            if isinstance(known, GymnasiumTask) and known.action_bounds is not None:
                low, high = known.action_bounds
                if low.shape == (action_size,):
                    return Box(low, high, dtype=np.float32)
    return Box(-np.inf, np.inf, (action_size,), np.float32)


def _env_spec(recorded: object, task: str | None) -> EnvSpec | None:
    """The environment, as gymnasium describes it; nothing of it is imported or made."""
    if isinstance(recorded, str):
        with contextlib.suppress(Exception):  # of another version of gymnasium: its parser may fail in any way
            return EnvSpec.from_json(recorded)
        return None
    space, _, name = (task or "").partition("/")
    return gymnasium.registry.get(name) if space == "gym" else None


def _as_seen(observations: npt.NDArray[Any], space: AnySpace) -> npt.NDArray[Any]:
    """Inverse of :class:`~..tasks.gymnasium_spaces.ObservationLayout`, for many: ``(L + 1, ...)``."""
    if isinstance(space, Discrete):
        states: npt.NDArray[np.int64] = observations.argmax(1) + int(space.start)
        return states
    if len(space.shape) == 3 and space.shape != observations.shape[1:]:
        observations = observations.transpose(0, 2, 3, 1)
    seen: npt.NDArray[Any] = np.ascontiguousarray(observations.reshape(-1, *space.shape)).astype(space.dtype)
    return seen


def _as_done(actions: npt.NDArray[Any], space: AnySpace) -> npt.NDArray[Any]:
    """Inverse of :class:`~..tasks.gymnasium_spaces.ActionLayout`, for many: ``(L, ...)``."""
    if isinstance(space, Discrete):
        return actions.astype(np.int64) + int(space.start)
    done: npt.NDArray[Any] = actions.reshape(-1, *space.shape).astype(space.dtype)
    return done


def _write(
    path: Path, dataset_id: str, file: Path, info: DatasetInfo, plan: _Plan, episodes: Iterable[_Episode]
) -> None:
    import minari
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

    known = info.provenance
    about = {
        "dataset_id": dataset_id,
        "minari_version": minari.__version__,
        "description": f"{known.kind if known else 'imported'}, by d3rlpy-distill"
        + (f", on {known.task}" if known and known.task else ""),
        OURS: {
            "task": known.task if known else None,
            "kind": known.kind if known else None,
            "command": known.command if known else None,
            "settings": dict(known.settings) if known else None,
            "content_sha256": info.content_sha256,
            "last_observations": "repeated" if plan.final is None else "recorded",
        },
    }
    try:
        storage = MinariStorage.new(
            path,
            observation_space=plan.observations,
            action_space=plan.actions,
            env_spec=plan.env_spec,
            data_format="hdf5",
        )
        storage.update_metadata(about)
        storage.update_episodes(
            EpisodeBuffer(
                seed=one.seed,
                observations=_rows(one.observations),
                actions=one.actions,
                rewards=one.rewards,
                terminations=one.terminations,
                truncations=one.truncations,
                infos={},
            )
            for one in episodes
        )
    except (DistillError, OSError, MemoryError):
        raise
    except Exception as error:  # Minari raises whatever its libraries do
        raise DistillError(f"{file}: Minari cannot keep it ({type(error).__name__}: {error}).") from error


def _rows(observations: npt.NDArray[Any]) -> Any:
    """Vectors of bytes one by one: Minari takes a matrix of them for a picture."""
    plain = observations.dtype != np.uint8 or observations.ndim != 2
    return observations if plain else list(observations)


def _check(path: Path, file: Path, plan: _Plan, count: int) -> int:
    """Reads a dataset by Minari's own loader and compares it with what was to be written; returns its steps.

    Args:
        path: Where Minari wrote it.
        file: What was to be written.
        plan: How.
        count: Number of episodes that were.

    Raises:
        DistillError: If anything differs; frames that Minari keeps as JPEG are compared by their shape alone.
    """
    from minari import MinariDataset

    dataset = MinariDataset(path)
    mine, theirs = itertools.islice(plan.episodes(file), count), dataset.iterate_episodes()
    seeds = dataset.storage.get_episode_metadata(range(dataset.total_episodes))
    for i, (one, read, about) in enumerate(zip(mine, theirs, seeds, strict=True)):
        same = {
            "observations": _same(one.observations, read.observations, plan.jpeg),
            "actions": _same(one.actions, read.actions),
            "rewards": _same(one.rewards, read.rewards),
            "terminations": _same(one.terminations, read.terminations),
            "truncations": _same(one.truncations, read.truncations),
            "seed": about.get("seed") == one.seed,
        }
        if wrong := [name for name, fits in same.items() if not fits]:
            raise DistillError(
                f"{file}: Minari reads other {wrong[0]} of episode {i} than it was given: it cannot keep such data."
            )
    _check_spaces(dataset, file, plan)
    return int(dataset.total_steps)


def _same(mine: npt.NDArray[Any], read: npt.NDArray[Any], shape_alone: bool = False) -> bool:
    if mine.shape != np.shape(read) or mine.dtype != read.dtype:
        return False
    return shape_alone or np.array_equal(mine, read)


def _check_spaces(dataset: MinariDataset, file: Path, plan: _Plan) -> None:
    if dataset.observation_space != plan.observations or dataset.action_space != plan.actions:
        raise DistillError(f"{file}: Minari reads other spaces than it was given: it cannot keep such data.")
