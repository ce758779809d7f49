"""Keeps trained students and played returns, so that an interrupted evaluation resumes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import CheckpointError
from ..files import write_json

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

    def student_path(self, arm: str, i: int) -> Path:
        """Returns where a trained student is kept, see :mod:`~..students.kept`."""
        return self.directory / "students" / arm / f"{i}.safetensors"

    def load_returns(self, arm: str, split: str, mode: str) -> npt.NDArray[np.float64] | None:
        """Returns the returns ``(S, K)``, or None if they were not played yet."""
        path = self._returns(arm, split, mode)
        return np.array(json.loads(path.read_text()), np.float64) if path.exists() else None

    def save_returns(self, arm: str, split: str, mode: str, returns: npt.NDArray[np.float64]) -> None:
        """Keeps returns."""
        write_json(self._returns(arm, split, mode), returns.tolist())

    def _returns(self, arm: str, split: str, mode: str) -> Path:
        return self.directory / "returns" / f"{arm}-{split}-{mode}.json"
