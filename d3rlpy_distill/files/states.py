"""Sealed files of tensors and numbers from which interrupted work goes on; they hold no pickled code."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import DamagedFileError
from ..memory import memory_errors
from .seal import SEAL_BYTES, check_seal, write_seal
from .writing import appears_atomically

__all__ = ["load_state", "save_state"]

SEALED = "sealed"


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Writes a state over the last one; a kill or a full disk leaves that in place."""
    data = io.BytesIO()  # torch reports a full disk as an error of its own file format
    torch.save({**state, SEALED: True}, data)
    with appears_atomically(path, overwrite=True) as partial:
        with partial.open("wb") as file:
            file.write(bytes(SEAL_BYTES))
            file.write(data.getbuffer())
        write_seal(partial)


def load_state(path: Path) -> dict[str, Any]:
    """Reads a state back, tensors on the CPU; of version 0.1, too, which sealed nothing.

    Raises:
        DamagedFileError: If the file is damaged or cut short, or no state.
    """
    try:
        sealed = check_seal(path)
        with path.open("rb") as file:
            file.seek(SEAL_BYTES if sealed else 0)
            data = io.BytesIO(file.read())
        _check_stored(data)
        with memory_errors():
            loaded = torch.load(data, map_location="cpu", weights_only=True)
        claims = loaded.pop(SEALED, False)
        _check_plain(loaded, data.getbuffer().nbytes)
    except (
        OSError,
        RuntimeError,
        EOFError,
        KeyError,
        IndexError,
        ValueError,
        TypeError,
        AttributeError,
        AssertionError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    ) as error:
        raise DamagedFileError(f"{path} is damaged or cut short.") from error
    if claims and not sealed:
        raise DamagedFileError(f"{path} is damaged: its seal, the first {SEAL_BYTES} bytes, was changed.")
    result: dict[str, Any] = loaded
    return result


def _check_stored(data: io.BytesIO) -> None:
    """Refuses what torch did not write: it stores bytes as they are, and would inflate any number of them."""
    with zipfile.ZipFile(data) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("packed")
    data.seek(0)


def _check_plain(value: object, size: int) -> None:
    """Refuses tensors that are larger than the file, as stretched ones are, or sparse."""
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.numel() * value.element_size() > size:
            raise ValueError(f"a tensor of shape {tuple(value.shape)}")
    elif isinstance(value, Mapping):
        for one in value.values():
            _check_plain(one, size)
    elif isinstance(value, list | tuple):
        for one in value:
            _check_plain(one, size)
