"""safetensors files that carry the digest of their tensors and of what they say of themselves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from ..errors import DamagedFileError
from .writing import appears_atomically

__all__ = ["load_tensors", "read_metadata", "save_tensors"]

DIGEST = "tensors_sha256"
SIZE = 8  # bytes of the header's length
ALIGNMENT = 8  # of the tensors


def save_tensors(
    path: Path,
    tensors: Mapping[str, torch.Tensor],
    metadata: Mapping[str, str] | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Writes tensors with their digest, atomically; the same content is the same bytes.

    Args:
        path: The file.
        tensors: By name.
        metadata: Text to keep beside them; it has no key of the digest's.
        overwrite: See :func:`~.writing.appears_atomically`.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    said = dict(metadata or {})
    data = _ordered(safetensors.torch.save(plain, {**said, DIGEST: _digest(plain, said)}))
    with appears_atomically(path, overwrite=overwrite) as partial:
        partial.write_bytes(data)


def load_tensors(path: Path, *, unsealed: bool = False) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Reads tensors, on the CPU, and what the file says of itself.

    Args:
        path: The file.
        unsealed: Also take a file without a digest, another program's or version 0.1's.

    Raises:
        DamagedFileError: If it is no safetensors file, or was changed since it was written.
        OSError: If it cannot be read.
    """
    data = path.read_bytes()
    try:
        tensors = safetensors.torch.load(data)
        _, header = _header(data)
        said = {str(key): str(value) for key, value in header.get("__metadata__", {}).items()}
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DamagedFileError(f"{path} is damaged, or no safetensors file ({reason}).") from error
    digest = said.pop(DIGEST, None)
    if not (digest is None and unsealed) and digest != _digest(tensors, said):
        raise DamagedFileError(
            f"{path} is damaged: its bytes were changed after it was written; copy or make it again."
        )
    return tensors, said


def read_metadata(path: Path) -> dict[str, str]:
    """Returns what a safetensors file says of itself, unverified; empty for any other file."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (safetensors.SafetensorError, OSError):
        return {}


def _ordered(data: bytes) -> bytes:
    """The file with what it says of itself in the order of the keys, which safetensors draws anew each time."""
    length, header = _header(data)
    said = dict(sorted(header.pop("__metadata__").items()))
    text = json.dumps({"__metadata__": said, **header}, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return len(text).to_bytes(SIZE, "little") + text + data[SIZE + length :]


def _header(data: bytes) -> tuple[int, dict[str, Any]]:
    """The length of the header and its JSON object."""
    length = int.from_bytes(data[:SIZE], "little")
    return length, json.loads(data[SIZE : SIZE + length])


def _digest(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}\0{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
