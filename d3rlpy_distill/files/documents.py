"""JSON files that carry the digest of what they say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import DamagedFileError
from .writing import appears_atomically

__all__ = ["DIGEST", "read_document", "read_json", "write_document", "write_json"]

DIGEST = "document_sha256"
"""The key of a document's digest."""

LARGEST = 1 << 64


def write_json(path: Path, value: object, *, overwrite: bool = False) -> None:
    """Writes indented JSON atomically; see :func:`~.writing.appears_atomically`."""
    with appears_atomically(path, overwrite=overwrite) as partial:
        partial.write_text(json.dumps(value, indent=1) + "\n")


def write_document(
    path: Path,
    value: Mapping[str, Any],
    *,
    overwrite: bool = False,
    layout: Callable[[Mapping[str, Any]], str] = lambda value: json.dumps(value, indent=1),
) -> None:
    """Writes a JSON object with its digest, atomically.

    Args:
        path: The file.
        value: The object; it has no key of that name.
        overwrite: See :func:`~.writing.appears_atomically`.
        layout: Lays the object out as text.
    """
    plain = json.loads(json.dumps(value))  # as it will be read: lists for tuples, text for keys
    with appears_atomically(path, overwrite=overwrite) as partial:
        partial.write_text(layout({**plain, DIGEST: _digest(plain)}) + "\n")


def read_document(path: Path, *, unsealed: bool = False) -> dict[str, Any]:
    """Reads an object that :func:`write_document` wrote, without its digest.

    Args:
        path: The file.
        unsealed: Also take an object without a digest, as version 0.1 wrote them.

    Raises:
        DamagedFileError: If the file is no JSON object, or was changed since it was written.
        OSError: If it cannot be read.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise DamagedFileError(f"{path} is damaged: expected a JSON object; remove it with 'rm {path}'.")
    digest = value.pop(DIGEST, None)
    if digest is None and unsealed and not _renamed(value):
        return value
    if digest != _digest(value):
        raise DamagedFileError(
            f"{path} was changed after it was written, or is damaged: put it back, or remove it with 'rm {path}' to "
            "have it made again."
        )
    return value


def read_json(path: Path) -> object:
    """Reads a JSON file of any content.

    Raises:
        DamagedFileError: If it is none.
        OSError: If it cannot be read.
    """
    try:
        value: object = json.loads(path.read_bytes(), parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path} is damaged: it is no JSON ({' '.join(str(error).split())}).") from error
    return value


def _integer(text: str) -> int:
    """A number that every type can hold: one of 400 digits overflows wherever it is used."""
    value = int(text)
    if abs(value) >= LARGEST:
        raise ValueError(f"a number of {len(text)} digits")
    return value


def _renamed(value: Mapping[str, Any]) -> bool:
    """Whether the last entry is the digest of the others: its key was damaged, which would leave it unsealed."""
    *keys, last = value or [""]
    return bool(keys) and value[last] == _digest({key: value[key] for key in keys})


def _digest(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
