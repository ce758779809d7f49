"""Opens HDF5 files: those of ours by their seal, any other after a process of its own has read it to its end."""

from __future__ import annotations

import contextlib
import functools
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py

from ...errors import DamagedFileError, DatasetFormatError
from ...files import check_seal
from ...memory import memory_errors
from .heaps import check_heaps
from .plain import has, plain_dataset

__all__ = ["open_dataset", "open_hdf5"]

VERSION = "2.1"
PROBE = Path(__file__).with_name("probe.py")
SECONDS = 30  # of computing
BYTES_A_SECOND = 1 << 20  # and one more for each MiB; any machine unpacks several
PATIENCE = 4  # seconds waited for each of them: other programs run, too


@contextlib.contextmanager
def open_dataset(path: Path) -> Iterator[h5py.File]:
    """Opens a complete d3rlpy dataset; turns every damage met inside the block into a DatasetFormatError.

    Raises:
        DatasetFormatError: If there is no file, or it is not a complete dataset.
    """
    with open_hdf5(path) as file:
        if has(file, "observations") and has(file, "terminals"):
            raise DatasetFormatError(
                f"{path} is a dataset of d3rlpy 1: turn it into one of today's with 'rld-distill import d3rlpy {path}'."
            )
        missing = [key for key in ("columns", "num_episodes", "version") if not has(file, key)]
        if missing:
            raise DatasetFormatError(
                f"{path} has no {missing[0]!r}: it is not a complete d3rlpy dataset (its writing was cut "
                "short, or another program wrote it)."
            )
        version = plain_dataset(file, "version", text=True).asstr()[()]
        if version != VERSION:
            raise DatasetFormatError(f"{path} is d3rlpy HDF5 version {version!r}: expected '{VERSION}'.")
        yield file


@contextlib.contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Opens an HDF5 file of any layout, verified; turns every damage met inside the block into a DatasetFormatError.

    Raises:
        DatasetFormatError: If there is no file, or it cannot be read to its end.
    """
    if path.is_dir():
        raise DatasetFormatError(f"{path} is a directory: expected a dataset, an .h5 file.")
    if not path.is_file():
        raise DatasetFormatError(
            f"{path} does not exist: expected a dataset; make one with "
            f"'rld-distill collect starpilot --out {path}'."
        )
    try:
        if not check_seal(path):
            state = path.stat()
            _read_elsewhere(path, state.st_size, state.st_mtime_ns, state.st_ino)
        check_heaps(path)
        with memory_errors(), h5py.File(path, "r", locking=False) as file:
            yield file
    except DamagedFileError as error:
        raise DatasetFormatError(str(error)) from error
    except (OSError, LookupError, ValueError, ArithmeticError, RuntimeError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DatasetFormatError(
            f"{path} cannot be read as an HDF5 dataset; it is damaged, cut short or of another format: {reason}"
        ) from error


@functools.lru_cache(maxsize=256)
def _read_elsewhere(path: Path, size: int, modified: int, inode: int) -> None:
    """Refuses a file that cannot be read to its end, once for each state of the file."""
    seconds = SECONDS + size // BYTES_A_SECOND
    try:
        read = subprocess.run(
            [sys.executable, "-I", str(PROBE), str(path.resolve()), str(seconds)],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=seconds * PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DamagedFileError(f"{path} is damaged: reading it does not end.") from error
    if read.returncode == 0:
        return
    if read.returncode == -signal.SIGXCPU:
        raise DamagedFileError(f"{path} is damaged: reading it does not end within {seconds} s of computing.")
    if read.returncode < 0:
        raise DamagedFileError(
            f"{path} is damaged: the HDF5 library does not survive it (signal {-read.returncode})."
        )
    last = (read.stderr.strip().splitlines() or ["no reason given"])[-1]
    raise DamagedFileError(
        f"{path} cannot be read as an HDF5 dataset; it is damaged, cut short or of another format: {last}"
    )
