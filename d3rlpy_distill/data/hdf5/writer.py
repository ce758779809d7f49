"""Streams episodes into a d3rlpy HDF5 2.1 file that appears whole or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt
from d3rlpy.dataset.io import DATASET_VERSION

from ...cores import available_cores
from ...files import SEAL_BYTES, appears_atomically, check_output, write_seal
from .disk import Disk
from .frames import FrameChunks
from .provenance import Provenance

__all__ = ["FORMAT", "EpisodeData", "EpisodeWriter"]

FORMAT = "d3rlpy-distill 3"
COLUMNS = ("observations", "actions", "rewards", "terminated")
MAX_WAITING = 4  # episodes whose chunks are being compressed while the next ones are played
STEP_CHUNK = 4096


@dataclasses.dataclass(frozen=True)
class EpisodeData:
    """One episode to write, of length L.

    Args:
        observations: ``(L, ...)``; uint8 frames ``(L, C, H, W)`` are stored as :mod:`.frames` says.
        actions: int32 ``(L,)``, or float32 ``(L, D)`` where actions are continuous.
        rewards: float32 ``(L,)``.
        terminated: False for a timeout.
        info: Numbers about the episode, the same keys in every episode.
        steps: Arrays ``(L, ...)`` beside the transitions, the same keys in every episode.
    """

    observations: npt.NDArray[Any]
    actions: npt.NDArray[Any]
    rewards: npt.NDArray[np.float32]
    terminated: bool
    info: Mapping[str, float | int | bool] = dataclasses.field(default_factory=dict)
    steps: Mapping[str, npt.NDArray[Any]] = dataclasses.field(default_factory=dict)

    def digest(self) -> bytes:
        """Returns the SHA-256 of the content, independent of compression and of any provenance."""
        digest = hashlib.sha256()
        for array in (self.observations, self.actions, self.rewards, np.bool_(self.terminated)):
            array = np.ascontiguousarray(array)
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(array.data)
        return digest.digest()


class _Prepared(NamedTuple):
    number: int
    episode: EpisodeData
    chunks: FrameChunks | None
    digest: bytes


def _prepare(index: int, episode: EpisodeData) -> _Prepared:
    """The part of writing that needs no HDF5, for a thread of its own."""
    frames = episode.observations
    chunks = FrameChunks(frames) if frames.dtype == np.uint8 and frames.ndim == 4 else None
    return _Prepared(index, episode, chunks, episode.digest())


class EpisodeWriter:
    """Writes episodes as they come; memory holds a handful of episodes, not the dataset.

    Use as a context manager. Everything goes to a partial file in the same directory, which is sealed and gets its name
    on a clean exit and is removed on an exception, so ``path`` never holds half a dataset; see
    :func:`~...files.appears_atomically` and :func:`~...files.write_seal`.

    Args:
        path: The file to make.
        provenance: Its root attributes.
        groups: Extra arrays, ``{"group/name": array}``.

    Raises:
        OutputExistsError: If ``path`` exists.
        OutputPathError: If the directory cannot be written.
        OSError: If no space is left.
    """

    def __init__(
        self,
        path: str | Path,
        provenance: Provenance,
        *,
        groups: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> None:
        self.path = Path(path)
        check_output(self.path)
        self._provenance = provenance
        self._groups = dict(groups or {})
        self._stack = contextlib.ExitStack()
        self._pool = ThreadPoolExecutor(max_workers=available_cores())
        self._waiting: deque[Future[_Prepared]] = deque()
        self._digest = hashlib.sha256()
        self._info: dict[str, list[float | int | bool]] = {}
        self._num_episodes = 0
        self._returns: list[float] = []
        self._action_counts = np.zeros(provenance.action_size, np.int64)
        self._num_transitions = 0

    def __enter__(self) -> EpisodeWriter:
        with contextlib.ExitStack() as stack:
            self._partial = stack.enter_context(appears_atomically(self.path))
            self._disk = stack.enter_context(Disk(self._partial))
            self._file = h5py.File(
                self._disk, "w", driver="fileobj", libver=("v110", "v110"), userblock_size=SEAL_BYTES
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._abandon()
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            try:
                self._finish()
                self._pool.shutdown()
                self._file.close()
                self._disk.check()
                write_seal(self._partial)
            except BaseException:
                self._abandon()
                raise

    def _abandon(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        # a full disk fails here once more; the first error is the one to show
        with contextlib.suppress(OSError, RuntimeError):
            self._file.close()

    def attach(self, name: str, values: npt.NDArray[Any]) -> None:
        """Adds an extra array, ``"group/name"``, that is known only when the last episode is."""
        self._groups[name] = values

    def write(self, episode: EpisodeData) -> None:
        """Appends an episode.

        Raises:
            ValueError: If an action lies outside the action set, or extras differ from the first episode's.
        """
        i = self._num_episodes
        actions, length = episode.actions, len(episode.actions)
        if length == 0 or len(episode.observations) != length or len(episode.rewards) != length:
            raise ValueError(
                f"episode {i}: {len(episode.observations)} observations, {length} actions and "
                f"{len(episode.rewards)} rewards; expected equally many, at least one."
            )
        size = self._provenance.action_size
        if actions.ndim == 2:
            if actions.shape[1] != size:
                raise ValueError(f"episode {i}: actions of {actions.shape[1]} dimensions; expected {size}.")
        elif actions.min() < 0 or actions.max() >= size:
            raise ValueError(
                f"episode {i}: actions from {actions.min()} to {actions.max()}; expected 0 to {size - 1}."
            )
        else:
            self._action_counts += np.bincount(actions, minlength=size)
        if i and set(episode.info) != set(self._info):
            raise ValueError(f"episode {i}: info {sorted(episode.info)}; expected {sorted(self._info)}.")
        for key, value in episode.info.items():
            self._info.setdefault(key, []).append(value)
        self._returns.append(float(episode.rewards.sum(dtype=np.float64)))
        self._num_transitions += length
        self._num_episodes += 1
        self._waiting.append(self._pool.submit(_prepare, i, episode))
        while len(self._waiting) > MAX_WAITING:
            self._store(self._waiting.popleft().result())

    def _store(self, prepared: _Prepared) -> None:
        i, episode, length = prepared.number, prepared.episode, len(prepared.episode.actions)
        if prepared.chunks is not None:
            prepared.chunks.write(self._file, f"observations_{i}")
        else:
            self._file.create_dataset(
                f"observations_{i}", data=episode.observations, compression="gzip", shuffle=True
            )
        continuous = episode.actions.ndim == 2
        actions = episode.actions if continuous else episode.actions.astype(np.int32).reshape(length, 1)
        self._file.create_dataset(f"actions_{i}", data=actions)
        self._file.create_dataset(f"rewards_{i}", data=episode.rewards.astype(np.float32).reshape(length, 1))
        self._file.create_dataset(f"terminated_{i}", data=bool(episode.terminated))
        for name, values in episode.steps.items():
            self._append_steps(name, values)
        self._disk.check()
        self._digest.update(prepared.digest)

    def _append_steps(self, name: str, values: npt.NDArray[Any]) -> None:
        key = f"steps/{name}"
        if key not in self._file:
            self._file.create_dataset(
                key,
                (0, *values.shape[1:]),
                values.dtype,
                maxshape=(None, *values.shape[1:]),
                chunks=(STEP_CHUNK, *values.shape[1:]),
                compression="gzip",
                compression_opts=1,
                shuffle=True,
            )
        dataset = self._file[key]
        start = len(dataset)
        dataset.resize(start + len(values), axis=0)
        dataset[start:] = values

    def _finish(self) -> None:
        if self._num_episodes == 0:
            raise ValueError(f"{self.path}: no episode was written; a dataset needs at least one.")
        while self._waiting:
            self._store(self._waiting.popleft().result())
        for key, values in self._info.items():
            self._file.create_dataset(f"episodes/{key}", data=np.array(values))
        for key, array in self._groups.items():
            packed = {"compression": "gzip", "shuffle": True} if array.ndim else {}  # HDF5 packs no scalars
            self._file.create_dataset(key, data=array, **packed)
        self._file.create_dataset("columns", data=list(COLUMNS))
        self._file.create_dataset("num_episodes", data=self._num_episodes)
        returns = np.array(self._returns)
        self._file.attrs.update(self._provenance.to_attributes())
        self._file.attrs.update(
            {
                "format": FORMAT,
                "num_transitions": self._num_transitions,
                "return_mean": returns.mean(),
                "return_std": returns.std(),
                "return_min": returns.min(),
                "return_max": returns.max(),
                "action_histogram": self._action_counts,
                "content_sha256": self._digest.hexdigest(),
            }
        )
        self._file.create_dataset("version", data=DATASET_VERSION)  # last, as d3rlpy does: marks it complete
        self._file.flush()
