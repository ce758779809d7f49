"""Checkpoints of a distillation: one file, written atomically, that holds no pickled code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..data.transitions import TransitionArrays
from ..errors import CheckpointError, DamagedFileError
from ..files import load_state, save_state

__all__ = ["data_fingerprint", "load_checkpoint", "save_checkpoint", "weights_fingerprint"]


def data_fingerprint(data: TransitionArrays) -> str:
    """Returns the SHA-256 of the transitions, hexadecimal."""
    digest = hashlib.sha256()
    for array in (data.observations, data.actions, data.returns_to_go, data.probabilities):
        if array is not None:
            digest.update(array.data)
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


def save_checkpoint(path: Path, identity: dict[str, Any], state: dict[str, Any]) -> None:
    """Writes ``state`` (tensors, numbers, text) with what it belongs to."""
    save_state(path, {"identity": json.dumps(identity, sort_keys=True), "state": state})


def load_checkpoint(path: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """Reads a checkpoint back.

    Raises:
        CheckpointError: If the file is damaged, or belongs to another configuration or dataset.
    """
    try:
        loaded = load_state(path)
        known, state = json.loads(loaded["identity"]), loaded["state"]
    except (DamagedFileError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"checkpoint {path} is damaged: remove it with 'rm {path}' to start anew."
        ) from error
    given = json.loads(json.dumps(identity, sort_keys=True))
    if known != given:
        differ = sorted(k for k in known.keys() | given.keys() if known.get(k) != given.get(k))
        raise CheckpointError(
            f"checkpoint {path} belongs to another distillation (it differs in {', '.join(differ)}): "
            f"give another output, or remove it with 'rm {path}' to start anew."
        )
    result: dict[str, Any] = state
    return result
