"""Checkpoints of a distillation: one file, written atomically, that holds no pickled code."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..data.mapped import in_pieces
from ..data.transitions import TransitionArrays
from ..errors import CheckpointError, DamagedFileError
from ..files import load_state, save_state
from ..threads import warn_of_threads

__all__ = ["checkpoint_threads", "data_fingerprint", "load_checkpoint", "save_checkpoint", "weights_fingerprint"]


def data_fingerprint(data: TransitionArrays) -> str:
    """Returns the SHA-256 of the transitions, hexadecimal."""
    digest = hashlib.sha256()
    for array in (data.observations, data.actions, data.returns_to_go, data.probabilities):
        if array is not None:
            for piece in in_pieces(array):
                digest.update(piece.data)
    return digest.hexdigest()


def weights_fingerprint(weights: Mapping[str, torch.Tensor] | None) -> str | None:
    """Returns the SHA-256 of a network's weights, hexadecimal; None for none."""
    if weights is None:
        return None
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def save_checkpoint(path: Path, identity: dict[str, Any], state: dict[str, Any], threads: Sequence[int]) -> None:
    """Writes ``state`` (tensors, numbers, text) with what it belongs to, and the numbers of threads that made it."""
    save_state(path, {"identity": json.dumps(identity, sort_keys=True), "threads": list(threads), "state": state})


def load_checkpoint(path: Path, identity: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
    """Reads a checkpoint back: the state and the numbers of threads, in their order; version 0.1 recorded none.

    Raises:
        CheckpointError: If the file is damaged, or belongs to another configuration or dataset.
    """
    known, state, threads = _read(path)
    given = json.loads(json.dumps(identity, sort_keys=True))
    if known != given:
        differ = sorted(k for k in known.keys() | given.keys() if known.get(k) != given.get(k))
        raise CheckpointError(
            f"checkpoint {path} belongs to another distillation (it differs in {', '.join(differ)}): "
            f"give another output, or remove it with 'rm {path}' to start anew."
        )
    warn_of_threads(path, threads)
    return state, threads


def checkpoint_threads(path: Path) -> list[int]:
    """Returns the numbers of threads that a checkpoint was made with; none if there is no checkpoint.

    Raises:
        CheckpointError: If the file is damaged.
    """
    return _read(path)[2] if os.path.lexists(path) else []


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any], list[int]]:
    """The identity, the state and the numbers of threads."""
    try:
        loaded = load_state(path)
        return (
            dict(json.loads(loaded["identity"])),
            dict(loaded["state"]),
            [int(one) for one in loaded.get("threads", [])],
        )
    except (DamagedFileError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"checkpoint {path} is damaged, or no checkpoint: remove it with 'rm {path}' to start anew."
        ) from error
