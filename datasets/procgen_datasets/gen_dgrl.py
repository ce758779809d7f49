"""Imports gen_dgrl's Procgen datasets (Mediratta et al. 2024, arXiv 2312.05742): a tar.xz, an episode a file."""

from __future__ import annotations

import contextlib
import itertools
import math
import re
import time
from collections.abc import Callable, Generator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from d3rlpy_distill.data import DatasetInfo, EpisodeData, EpisodeWriter, Provenance, read_info, read_own
from d3rlpy_distill.data.transitions import return_to_go
from d3rlpy_distill.errors import DatasetFormatError
from d3rlpy_distill.files import check_output, claimed

from .games import GAMES, N_ACTIONS, Game, get_game, task_name
from .gen_dgrl_pickle import PickleRefusedError, read_arrays, shown
from .gen_dgrl_tar import read_files

__all__ = ["check_gen_dgrl", "import_gen_dgrl", "read_gen_dgrl"]

FRAME = (3, 64, 64)
KEYS = ("observations", "actions", "rewards", "dones")
NAME = re.compile(
    r"_(?P<length>[1-9][0-9]{0,5})_(?P<level>-?[0-9]{1,10})_(?P<episode_return>-?[0-9]{1,40}(\.[0-9]{1,40})?)\.npy$"
)
HEADER = re.compile(rb"\x93NUMPY\x01\x00(?P<length>..)(?P<text>\{[^\n]{0,200}\} *)\n", re.DOTALL)
OBJECT_HEADER = re.compile(rb"\{'descr': '\|O', 'fortran_order': (False|True), 'shape': \(\), *\} *")
MAX_LENGTH = max(game.time_limit for game in GAMES.values())
MAX_LEVEL = 2**31 - 1  # Procgen's level seeds are 32-bit
STEP_BYTES = math.prod(FRAME) * 8 + 4096  # the widest numbers that a frame can be stored as, and all the rest
TIMED_SECONDS = 2.0
HEAD_BYTES = 2**16
MAX_FLOAT = float(np.finfo(np.float32).max)
CHECKED_AT_ONCE = 64  # frames


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
        InUseError: If another process is making it.
    """
    archive, path = Path(archive), Path(path)
    known, provenance = _planned(archive, game, episodes, command)
    with claimed(path):
        if path.exists():
            return read_own(path, provenance)
        try:
            with contextlib.closing(read_gen_dgrl(archive, known)) as stream:
                first = next(stream, None)
                if first is None:
                    raise DatasetFormatError(f"{archive} holds no episode: expected .npy files.")
                with EpisodeWriter(path, provenance) as writer:
                    for written, episode in enumerate(itertools.chain([first], stream), start=1):
                        writer.write(episode)
                        if on_episode is not None:
                            on_episode()
                        if written == episodes:
                            break
        except MemoryError as error:
            raise DatasetFormatError(
                f"{archive} needs more memory than there is: its largest episode may take "
                f"{MAX_LENGTH * STEP_BYTES} bytes."
            ) from error
    return read_info(path)


def check_gen_dgrl(
    archive: str | Path, game: str, path: str | Path, *, episodes: int | None = None
) -> tuple[bool, float]:
    """Tells whether a path holds just this import already, and else about how many seconds it takes.

    Its first episodes are read for about two seconds, and stand for all.

    Raises: those of :func:`import_gen_dgrl`, as far as these episodes show them.
    """
    archive, path = Path(archive), Path(path)
    check_output(path, overwrite=True)
    known, provenance = _planned(archive, game, episodes, "")
    if path.exists():
        return bool(read_own(path, provenance)), 0.0
    start, read, position = time.perf_counter(), 0, 0

    def at(place: int) -> None:
        nonlocal position
        position = place

    with contextlib.closing(read_gen_dgrl(archive, known, at=at)) as stream:
        for _ in itertools.islice(stream, episodes):
            read += 1
            if time.perf_counter() - start > TIMED_SECONDS:
                break
    if not read:
        raise DatasetFormatError(f"{archive} holds no episode: expected .npy files.")
    all_of_it = archive.stat().st_size / max(position, 1)
    if episodes is not None:
        all_of_it = min(all_of_it, episodes / read)
    return False, 2 * all_of_it * (time.perf_counter() - start)  # writing takes as long again


def _planned(archive: Path, game: str, episodes: int | None, command: str) -> tuple[Game, Provenance]:
    """The game, and what is recorded of the import."""
    known = get_game(game)
    if not archive.is_file():
        what = "is a directory" if archive.is_dir() else "does not exist"
        raise DatasetFormatError(f"{archive} {what}: expected a .tar.xz of gen_dgrl.")
    published = archive.name.partition(".")[0]
    if published in GAMES and published != game:
        raise DatasetFormatError(
            f"{archive} has the name of {published}'s episodes: give --game {published}, or rename it if it "
            f"is {game}'s."
        )
    settings = {
        "environment": f"procgen:{game}",
        "archive": archive.name,
        "archive_bytes": archive.stat().st_size,
        "episodes": episodes,
    }
    return known, Provenance("imported", task_name(game), N_ACTIONS, command, settings)


def read_gen_dgrl(
    archive: Path, game: Game, *, at: Callable[[int], None] = lambda position: None
) -> Generator[EpisodeData, None, None]:
    """Yields an archive's episodes in its order.

    Args:
        archive: A ``.tar.xz`` as published.
        game: The game it was recorded on.
        at: Told before each episode how many bytes of the archive were read.

    Raises:
        DatasetFormatError: If the archive is damaged, or an episode is not of the published layout.
    """

    def limit(name: str) -> int | None:
        if not name.endswith(".npy"):
            return None
        length = int(_named(f"{archive}, {name}", name)["length"])
        return HEAD_BYTES + (length + 1) * STEP_BYTES

    for name, data in read_files(archive, limit, at=at):
        _check_game(archive, name, game)
        where = f"{archive}, {name}"
        with np.errstate(all="ignore"):  # what overflows or is no number is refused, not warned of
            episode = _episode(where, _load(where, data), game, name)
        yield episode


def _check_game(archive: Path, name: str, game: Game) -> None:
    """Refuses a file that lies in another game's folder: one archive has one game."""
    for folder in PurePosixPath(name).parts[:-1]:
        if folder in GAMES and folder != game.name:
            raise DatasetFormatError(
                f"{archive}, {name}: an episode of {folder}, not of {game.name}: give --game {folder}, or an "
                f"archive of {game.name} alone."
            )


def _named(where: str, name: str) -> re.Match[str]:
    named = NAME.search(name)
    if named is None:
        raise DatasetFormatError(f"{where}: expected a name that ends in _LENGTH_LEVEL_RETURN.npy.")
    if int(named["length"]) > MAX_LENGTH or abs(int(named["level"])) > MAX_LEVEL:
        raise DatasetFormatError(f"{where}: expected at most {MAX_LENGTH} steps and a level of 32 bits.")
    return named


def _load(where: str, data: memoryview) -> dict[str, npt.NDArray[Any]]:
    """Reads what ``np.save`` wrote: a header, then a pickle of a 0-d object array that holds the dict."""
    header = HEADER.match(bytes(data[:1024]))
    if header is None or int.from_bytes(header["length"], "little") != len(header["text"]) + 1:
        raise DatasetFormatError(f"{where} is refused: it does not begin as a .npy file does.")
    if OBJECT_HEADER.fullmatch(header["text"]) is None:
        raise DatasetFormatError(
            f"{where}: an array {shown(header['text'].decode('latin-1').strip())}; expected a pickled dict."
        )
    try:
        arrays = read_arrays(data[header.end() :])
    except PickleRefusedError as error:
        raise DatasetFormatError(f"{where} is refused: {error}.") from error
    if any(key not in arrays for key in KEYS):
        raise DatasetFormatError(f"{where}: expected a dict with the arrays {', '.join(KEYS)}.")
    return arrays


def _episode(where: str, value: dict[str, npt.NDArray[Any]], game: Game, name: str) -> EpisodeData:
    named = _named(where, name)
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
    to_go = return_to_go(rewards)
    for what, values in (("reward", rewards.astype(np.float32)), ("return that is left", to_go)):
        if not np.isfinite(values).all():
            step = int(np.flatnonzero(~np.isfinite(values))[0])
            given = float(rewards[step] if what == "reward" else rewards[step:].sum(dtype=np.float64))
            raise DatasetFormatError(
                f"{where}: a {what} of {given:g} at step {step}; float32 holds at most {MAX_FLOAT:g}."
            )
    total = float(rewards.sum(dtype=np.float64))
    if abs(total - float(named["episode_return"])) > 0.01:
        raise DatasetFormatError(f"{where}: a return of {total:.2f}; its name says {named['episode_return']}.")
    if not ((dones == 0) | (dones == 1)).all():
        raise DatasetFormatError(f"{where}: dones that are neither 0 nor 1.")
    if dones[:-1].any() or not dones[-1]:
        raise DatasetFormatError(
            f"{where}: dones at {_first(np.flatnonzero(dones))}; expected the last step only."
        )
    if not np.array_equal(actions, np.rint(actions)) or actions.min() < 0 or actions.max() >= N_ACTIONS:
        raise DatasetFormatError(
            f"{where}: actions from {actions.min()} to {actions.max()}; expected integers 0 to {N_ACTIONS - 1}."
        )
    timeout = length >= game.time_limit
    return EpisodeData(
        observations=observations[:length],
        actions=actions.astype(np.int32),
        rewards=rewards.astype(np.float32),
        terminated=not timeout,
        info={"level_seed": int(named["level"]), "return": total, "length": length, "timeout": timeout},
        steps={"return_to_go": to_go},
    )


def _column(where: str, key: str, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
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
    frames = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), CHECKED_AT_ONCE):  # a copy of all, as float64, would be eight times as much
        piece = values[start : start + CHECKED_AT_ONCE]
        if not ((piece >= 0) & (piece <= 255) & (piece == np.rint(piece))).all():
            raise DatasetFormatError(f"{where}: observations that are no whole numbers from 0 to 255.")
        frames[start : start + CHECKED_AT_ONCE] = piece
    return frames


def _first(steps: npt.NDArray[np.intp]) -> str:
    return str(steps.tolist()) if len(steps) <= 8 else f"{steps[:8].tolist()[:-1]}, ... ({len(steps)} steps)"
