"""Raw returns, compactly: one array of all arms in a compressed file beside the results."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import DistillError
from ..files import appears_atomically

__all__ = ["load_returns", "save_returns"]

ENTRY = "returns"


def save_returns(path: Path, returns: Sequence[npt.NDArray[np.float64]], *, overwrite: bool = False) -> str:
    """Writes arrays one after the other into one ``.npz``, atomically; equal returns give equal bytes.

    Args:
        path: The file.
        returns: Arrays of any shape; float32 in the file where that loses nothing, which holds of whole numbers.
        overwrite: See :func:`~..files.appears_atomically`.

    Returns:
        The file's SHA-256, hexadecimal.
    """
    flat = np.concatenate([one.ravel() for one in returns]) if returns else np.zeros(0)
    with np.errstate(over="ignore"):  # what is too large for float32 stays float64
        short = flat.astype(np.float32)
    array = short if np.array_equal(short.astype(np.float64), flat) else flat
    raw = io.BytesIO()
    np.save(raw, array, allow_pickle=False)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        # a ZipInfo of its own: NumPy would write the time of day
        archive.writestr(zipfile.ZipInfo(f"{ENTRY}.npy"), raw.getvalue(), zipfile.ZIP_DEFLATED, 9)
    with appears_atomically(path, overwrite=overwrite) as partial:
        partial.write_bytes(packed.getvalue())
    return hashlib.sha256(packed.getvalue()).hexdigest()


def load_returns(path: Path, sha256: str, shapes: Sequence[tuple[int, int]]) -> list[npt.NDArray[np.float64]]:
    """Inverse of :func:`save_returns`.

    Args:
        path: The file.
        sha256: As it was when the file was written.
        shapes: ``(S, K)`` of each array.

    Raises:
        DistillError: If the file is missing, was changed, or does not hold as many returns.
    """
    if not path.is_file():
        raise DistillError(f"{path} does not exist: the raw returns belong beside the results; copy both files.")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DistillError(f"{path} was changed: it is not the file that its results were written with.")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            flat = archive[ENTRY].astype(np.float64)
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise DistillError(f"{path} holds no returns: {reason}.") from error
    sizes = [students * episodes for students, episodes in shapes]
    if flat.shape != (sum(sizes),):
        raise DistillError(f"{path} has {flat.size} returns: expected {sum(sizes)}.")
    parts = np.split(flat, np.cumsum(sizes)[:-1]) if sizes else []
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
