"""Keeps trained students and played returns, so that an interrupted evaluation resumes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.torch
import torch

from ..errors import CheckpointError
from ..files import appears_atomically, write_json

__all__ = ["EvaluationStore"]


class EvaluationStore:
    """A directory of an evaluation that is under way.

    Args:
        directory: Made if it does not exist.
        identity: What decides the results (JSON values). A directory of another identity is refused.

    Raises:
        CheckpointError: If the directory holds another evaluation, or something else.
    """

    def __init__(self, directory: Path, identity: dict[str, Any]) -> None:
        self.directory = directory
        record = directory / "evaluation.json"
        identity = json.loads(json.dumps(identity))
        if record.exists():
            known = json.loads(record.read_text())
            if known != identity:
                differ = sorted(k for k in known.keys() | identity.keys() if known.get(k) != identity.get(k))
                raise CheckpointError(
                    f"{directory} holds another evaluation (it differs in {', '.join(differ)}): "
                    f"give another --out, or remove it with 'rm -r {directory}'."
                )
        elif directory.exists() and any(directory.iterdir()):
            raise CheckpointError(f"{directory} is not empty and holds no evaluation: give another --out.")
        else:
            write_json(record, identity)

    def load_student(self, arm: str, i: int) -> tuple[dict[str, torch.Tensor], dict[str, float]] | None:
        """Returns a student's weights and record, or None if it was not trained yet."""
        path = self._student(arm, i)
        if not path.exists():
            return None
        try:
            weights = safetensors.torch.load_file(path)
            with safetensors.safe_open(path, "pt") as file:
                record = {k: float(v) for k, v in file.metadata().items()}
        except (safetensors.SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(f"{path} is damaged: remove it with 'rm {path}' ({error}).") from error
        return weights, record

    def save_student(self, arm: str, i: int, weights: dict[str, torch.Tensor], record: dict[str, float]) -> None:
        """Keeps a student."""
        with appears_atomically(self._student(arm, i)) as partial:
            contiguous = {k: v.detach().cpu().contiguous() for k, v in weights.items()}
            safetensors.torch.save_file(contiguous, partial, {k: repr(v) for k, v in record.items()})

    def load_returns(self, arm: str, split: str, mode: str) -> npt.NDArray[np.float64] | None:
        """Returns the returns ``(S, K)``, or None if they were not played yet."""
        path = self._returns(arm, split, mode)
        return np.array(json.loads(path.read_text()), np.float64) if path.exists() else None

    def save_returns(self, arm: str, split: str, mode: str, returns: npt.NDArray[np.float64]) -> None:
        """Keeps returns."""
        write_json(self._returns(arm, split, mode), returns.tolist())

    def _student(self, arm: str, i: int) -> Path:
        return self.directory / "students" / arm / f"{i}.safetensors"

    def _returns(self, arm: str, split: str, mode: str) -> Path:
        return self.directory / "returns" / f"{arm}-{split}-{mode}.json"
