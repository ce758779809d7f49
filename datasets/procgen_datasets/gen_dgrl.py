"""Imports gen_dgrl's Procgen datasets (Mediratta et al. 2024, arXiv 2312.05742): a tar.xz, an episode a file."""

from __future__ import annotations

import io
import lzma
import pickle
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from d3rlpy_distill.data import DatasetInfo, EpisodeData, EpisodeWriter, Provenance, read_info, read_own
from d3rlpy_distill.data.transitions import return_to_go
from d3rlpy_distill.errors import DatasetFormatError

from .games import N_ACTIONS, Game, get_game, task_name

__all__ = ["import_gen_dgrl", "read_gen_dgrl"]

FRAME = (3, 64, 64)
MAX_BYTES = 2**30  # of one episode: the longest, 6000 steps as float32, has 295 MB
NAME = re.compile(r"_(?P<length>\d+)_(?P<level>-?\d+)_(?P<episode_return>-?\d+(\.\d+)?)\.npy$")
KEYS = ("observations", "actions", "rewards", "dones")
ADMITTED = {
    (module, name)
    for module in ("numpy.core.multiarray", "numpy._core.multiarray")
    for name in ("_reconstruct", "scalar")
} | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}


def import_gen_dgrl(
    archive: str | Path,
    game: str,
    path: str | Path,
    *,
    episodes: int | None = None,
    command: str = "",
    on_episode: Callable[[], None] | None = None,
) -> DatasetInfo:
    """Writes an archive's episodes as a d3rlpy dataset; returns at once if ``path`` already holds exactly these.

    The archive is read as a stream: nothing is unpacked to disk, and memory holds a handful of episodes.

    Args:
        archive: A ``.tar.xz`` as published.
        game: The game it was recorded on.
        path: The file to make. It appears only when it is complete.
        episodes: Take the first so many; all by default.
        command: Command line to record.
        on_episode: Called after each episode, for progress.

    Raises:
        UnknownGameError: If the game is none of Procgen's.
        DatasetFormatError: If the archive is damaged, or an episode is not of the published layout.
        OutputExistsError: If ``path`` holds anything else.
    """
    archive, path = Path(archive), Path(path)
    known = get_game(game)
    if not archive.is_file():
        raise DatasetFormatError(f"{archive} does not exist: expected a .tar.xz of gen_dgrl.")
    settings = {
        "environment": f"procgen:{game}",
        "archive": archive.name,
        "archive_bytes": archive.stat().st_size,
        "episodes": episodes,
    }
    provenance = Provenance("imported", task_name(game), N_ACTIONS, command, settings)
    if path.exists():
        return read_own(path, provenance)
    stream = read_gen_dgrl(archive, known)
    first = next(stream, None)
    if first is None:
        raise DatasetFormatError(f"{archive} holds no episode: expected .npy files.")
    with EpisodeWriter(path, provenance) as writer:
        written, episode = 0, first
        while episode is not None:
            writer.write(episode)
            written += 1
            if on_episode is not None:
                on_episode()
            episode = None if written == episodes else next(stream, None)  # type: ignore[assignment]
    return read_info(path)


def read_gen_dgrl(archive: Path, game: Game) -> Iterator[EpisodeData]:
    """Yields an archive's episodes in its order.

    Raises:
        DatasetFormatError: If the archive is damaged, or an episode is not of the published layout.
    """
    try:
        with tarfile.open(archive, "r|xz") as tar:
            for member in tar:
                if not member.isfile() or not member.name.endswith(".npy"):
                    continue
                where = f"{archive}, {member.name}"
                if member.size > MAX_BYTES:
                    raise DatasetFormatError(f"{where}: {member.size} bytes; expected at most {MAX_BYTES}.")
                file = tar.extractfile(member)
                assert file is not None
                yield _episode(where, _load(where, file.read()), game, member.name)
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise DatasetFormatError(
            f"{archive} is no complete .tar.xz; it is damaged, cut short or of another format: {error}"
        ) from error


class _ArraysOnly(pickle.Unpickler):
    """Builds numpy arrays and Python's own containers and numbers, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}; only numpy arrays are admitted")
        return super().find_class(module, name)


def _load(where: str, data: bytes) -> dict[str, Any]:
    file = io.BytesIO(data)
    try:
        npy: Any = np.lib.format
        read_header = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
        shape, _fortran, dtype = read_header(file)
        if shape != () or not dtype.hasobject:
            raise DatasetFormatError(f"{where}: an array {dtype} {shape}; expected a pickled dict.")
        loaded = _ArraysOnly(file).load()
        value = loaded.item() if isinstance(loaded, np.ndarray) and loaded.shape == () else None
    except DatasetFormatError:
        raise
    except Exception as error:  # a hostile pickle can raise anything; none of it was executed beyond numpy
        raise DatasetFormatError(f"{where} is refused: {' '.join(str(error).split()) or repr(error)}.") from error
    if not isinstance(value, dict) or any(not isinstance(value.get(key), np.ndarray) for key in KEYS):
        raise DatasetFormatError(f"{where}: expected a dict with the arrays {', '.join(KEYS)}.")
    return value


def _episode(where: str, value: dict[str, Any], game: Game, name: str) -> EpisodeData:
    named = NAME.search(name)
    if named is None:
        raise DatasetFormatError(f"{where}: expected a name that ends in _LENGTH_LEVEL_RETURN.npy.")
    actions, rewards, dones = (_column(where, key, value[key]) for key in KEYS[1:])
    length = len(actions)
    if not len(rewards) == len(dones) == length == int(named["length"]) or length == 0:
        raise DatasetFormatError(
            f"{where}: {length} actions, {len(rewards)} rewards and {len(dones)} dones; its name says "
            f"{named['length']}."
        )
    observations = _frames(where, value["observations"])
    if len(observations) not in (length, length + 1):
        raise DatasetFormatError(f"{where}: {len(observations)} observations; expected {length} or {length + 1}.")
    if not np.isfinite(rewards).all():
        raise DatasetFormatError(f"{where}: NaN or infinite rewards.")
    total = float(rewards.sum(dtype=np.float64))
    if abs(total - float(named["episode_return"])) > 0.01:
        raise DatasetFormatError(f"{where}: a return of {total:.2f}; its name says {named['episode_return']}.")
    if dones[:-1].any() or not dones[-1]:
        raise DatasetFormatError(
            f"{where}: dones at {np.flatnonzero(dones).tolist()}; expected the last step only."
        )
    if not np.array_equal(actions, np.rint(actions)) or actions.min() < 0 or actions.max() >= N_ACTIONS:
        raise DatasetFormatError(
            f"{where}: actions from {actions.min()} to {actions.max()}; expected integers 0 to {N_ACTIONS - 1}."
        )
    timeout = length >= game.time_limit
    rewards = rewards.astype(np.float32)
    return EpisodeData(
        observations=observations[:length],
        actions=actions.astype(np.int32),
        rewards=rewards,
        terminated=not timeout,
        info={"level_seed": int(named["level"]), "return": total, "length": length, "timeout": timeout},
        steps={"return_to_go": return_to_go(rewards)},
    )


def _column(where: str, key: str, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise DatasetFormatError(f"{where}: {key} {values.dtype} {values.shape}; expected numbers (T,) or (T, 1).")
    return values


def _frames(where: str, values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if values.shape[1:] != FRAME or values.dtype.kind not in "iuf":
        raise DatasetFormatError(
            f"{where}: observations {values.dtype} {values.shape}; expected numbers (T, 3, 64, 64), T being the "
            "length or one more."
        )
    if values.dtype == np.uint8:
        return values
    if values.size and not ((values >= 0) & (values <= 255) & (values == np.rint(values))).all():
        raise DatasetFormatError(f"{where}: observations that are no whole numbers from 0 to 255.")
    return values.astype(np.uint8)
