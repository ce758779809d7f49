"""Raw returns, compactly: one array of all arms in a compressed file beside the results."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import DistillError
from ..files import appears_atomically

__all__ = ["load_returns", "save_returns"]

ENTRY = "returns"
HEADER = 1 << 12  # bytes before the numbers, at most

MOST = 1 << 25
"""Returns in one file: a thousand times what the largest of our tables has."""


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
    sizes = [students * episodes for students, episodes in shapes]
    try:
        flat = _unpacked(data, sum(sizes))
    except (
        zipfile.BadZipFile, zlib.error, OSError, ValueError, KeyError, EOFError, RuntimeError, SyntaxError, TypeError
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())
        raise DistillError(f"{path} holds no returns: {reason}.") from error
    if len(flat) != sum(sizes):
        raise DistillError(f"{path} has {len(flat)} returns: expected {sum(sizes)}.")
    parts = np.split(flat, np.cumsum(sizes)[:-1]) if sizes else []
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _unpacked(data: bytes, count: int) -> npt.NDArray[np.float64]:
    """The numbers, which should be so many. Memory is taken for what is expected, never for what the file declares.

    Raises: whatever is wrong, as one of Python's own errors.
    """
    if not 0 <= count <= MOST:
        raise ValueError(f"{count} returns are declared: expected at most {MOST}")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entry = archive.getinfo(f"{ENTRY}.npy")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"they are packed by method {entry.compress_type}")
        if entry.file_size > HEADER + count * 8:
            raise ValueError(f"{entry.file_size} bytes: expected {count} numbers")
        raw = io.BytesIO(archive.read(entry))
    if np.lib.format.read_magic(raw) != (1, 0):  # type: ignore[no-untyped-call]
        raise ValueError("they are in another version of NumPy's format")
    shape, _, dtype = np.lib.format.read_array_header_1_0(raw)  # type: ignore[no-untyped-call]
    if len(shape) != 1 or dtype not in (np.float32, np.float64):
        raise ValueError(f"{dtype} {shape}: expected numbers")
    flat = np.frombuffer(raw.read(), dtype, shape[0]).astype(np.float64)
    if not np.isfinite(flat).all():
        raise ValueError("some are NaN or infinite")
    return flat
