"""The datasets that d3rlpy itself gives by name."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import importlib.util
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path

import d3rlpy.datasets
import gymnasium
from d3rlpy.dataset import ReplayBuffer

from ..errors import DistillError, MissingExtraError, UnknownNameError
from ..files import appears_atomically, check_output

__all__ = ["DOWNLOADS", "Download", "by_getter", "check_getter", "download", "download_bytes"]

SECONDS = 30  # without a byte
PIECE = 1 << 20
LARGEST = 1 << 31  # bytes; the four files have some megabytes
OF_D4RL = re.compile(r"bullet-.+|hopper|halfcheetah|walker|ant")
"""As d3rlpy's ``get_dataset`` tells them."""


@dataclasses.dataclass(frozen=True)
class Download:
    """One of the files that d3rlpy's getters download.

    Args:
        url: Where it lies.
        file: What d3rlpy calls it in its data directory.
        task: What it was recorded on.
    """

    url: str
    file: str
    task: str


DOWNLOADS = {
    "cartpole-replay": Download(d3rlpy.datasets.CARTPOLE_URL, "cartpole_replay_v1.1.0.h5", "gym/CartPole-v1"),
    "cartpole-random": Download(
        d3rlpy.datasets.CARTPOLE_RANDOM_URL, "cartpole_random_v1.1.0.h5", "gym/CartPole-v1"
    ),
    "pendulum-replay": Download(d3rlpy.datasets.PENDULUM_URL, "pendulum_replay_v1.1.0.h5", "gym/Pendulum-v1"),
    "pendulum-random": Download(
        d3rlpy.datasets.PENDULUM_RANDOM_URL, "pendulum_random_v1.1.0.h5", "gym/Pendulum-v1"
    ),
}


def download(name: str, directory: Path) -> Path:
    """Returns the file of one of :data:`DOWNLOADS`, fetched unless it lies in d3rlpy's data directory already.

    Raises:
        DistillError: If it cannot be fetched.
    """
    one = DOWNLOADS[name]
    path = directory / one.file
    if path.exists():
        return path
    with _asked(name, path, "GET") as answer, appears_atomically(path) as partial:
        length = answer.headers.get("Content-Length")
        done = 0
        with partial.open("wb") as file:
            while piece := answer.read(PIECE):
                done += len(piece)
                if done > LARGEST:
                    raise OSError(f"it has more than {LARGEST} bytes")
                file.write(piece)
        if length is not None and done != int(length):
            raise OSError(f"{done} of {length} bytes arrived")
    return path


def download_bytes(name: str, directory: Path) -> int | None:
    """Returns the size of what :func:`download` would fetch, as the server tells it; None if it does not.

    Raises: those of :func:`download`, as far as the server shows them.
    """
    path = directory / DOWNLOADS[name].file
    check_output(path)
    with _asked(name, path, "HEAD") as answer:
        length = answer.headers.get("Content-Length")
        return None if length is None else int(length)


@contextlib.contextmanager
def _asked(name: str, path: Path, method: str) -> Iterator[HTTPResponse]:
    """Yields the server's answer.

    Raises:
        DistillError: If there is none, or it breaks off.
    """
    try:
        request = urllib.request.Request(DOWNLOADS[name].url, method=method)
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            yield answer
    except (urllib.error.URLError, TimeoutError, ConnectionError, ValueError) as error:
        raise _unreachable(name, str(getattr(error, "reason", error)), path) from error
    except OSError as error:
        if error.errno is not None:  # of our own disk
            raise
        raise _unreachable(name, str(error), path) from error


def _unreachable(name: str, reason: str, path: Path) -> DistillError:
    return DistillError(
        f"d3rlpy's dataset {name!r} cannot be downloaded ({reason}): where there is no network, copy d3rlpy's file to "
        f"{path}, or give any d3rlpy HDF5 file: rld-distill import d3rlpy FILE."
    )


def check_getter(name: str) -> None:
    """Refuses a name that :func:`by_getter` refuses before it downloads anything.

    Raises: those of :func:`by_getter`.
    """
    if importlib.util.find_spec("d4rl") is None or not OF_D4RL.match(name):
        by_getter(name)


def by_getter(name: str) -> tuple[ReplayBuffer, str | None]:
    """Returns a dataset of ``d3rlpy.datasets.get_dataset``, and its task where gymnasium has it; of d4rl and others.

    Raises:
        UnknownNameError: If d3rlpy knows no such name; the message names the nearest.
        MissingExtraError: If a package that d3rlpy needs for it is not installed.
        DistillError: If it cannot be downloaded.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where d3rlpy says that it downloads
            buffer, env = d3rlpy.datasets.get_dataset(name)
    except ImportError as error:
        raise MissingExtraError(f"d3rlpy's dataset {name!r} needs a package that is missing: {error}") from error
    except ValueError as error:
        nearest = difflib.get_close_matches(name.lower(), DOWNLOADS, n=1, cutoff=0.0)[0]
        raise UnknownNameError(
            f"{name!r} is no file, and no dataset of d3rlpy's: did you mean {nearest!r}? Expected an .h5 file, "
            f"{', '.join(DOWNLOADS)}, or a name of d4rl's."
        ) from error
    except OSError as error:
        raise DistillError(
            f"d3rlpy's dataset {name!r} cannot be downloaded ({error}): where there is no network, give any d3rlpy "
            "HDF5 file: rld-distill import d3rlpy FILE."
        ) from error
    known = env.spec is not None and env.spec.id in gymnasium.registry
    return buffer, f"gym/{env.spec.id}" if known else None
