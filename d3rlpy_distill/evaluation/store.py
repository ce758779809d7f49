"""Keeps trained students and played returns, so that an interrupted evaluation resumes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import CheckpointError, DamagedFileError
from ..files import check_empty, read_document, read_json, write_document

__all__ = ["EvaluationStore", "check_store"]


RECORD = "evaluation.json"


def check_store(directory: Path, identity: dict[str, Any]) -> bool:
    """Tells whether a directory holds an evaluation of this identity already; it may be empty, or not exist.

    Raises: those of :class:`EvaluationStore`.
    """
    record, wanted = directory / RECORD, json.loads(json.dumps(identity))
    if not record.exists():
        check_empty(directory, "no evaluation")
        return False
    known = read_document(record, unsealed=True)  # of version 0.1
    if known != wanted:
        differ = sorted(k for k in known.keys() | wanted.keys() if known.get(k) != wanted.get(k))
        raise CheckpointError(
            f"{directory} holds another evaluation (it differs in {', '.join(differ)}): "
            f"give another --out, or remove it with 'rm -r {directory}'."
        )
    return True


class EvaluationStore:
    """A directory of an evaluation that is under way.

    Args:
        directory: Made if it does not exist.
        identity: What decides the results (JSON values). A directory of another identity is refused.

    Raises:
        CheckpointError: If the directory holds another evaluation.
        OutputExistsError: If it holds something else.
        DamagedFileError: If its record was changed.
    """

    def __init__(self, directory: Path, identity: dict[str, Any]) -> None:
        self.directory = directory
        if not check_store(directory, identity):
            write_document(directory / RECORD, json.loads(json.dumps(identity)))

    def student_path(self, arm: str, i: int) -> Path:
        """Returns where a trained student is kept, see :mod:`~..students.kept`."""
        return self.directory / "students" / arm / f"{i}.safetensors"

    def load_returns(self, arm: str, split: str, mode: str) -> npt.NDArray[np.float64] | None:
        """Returns the returns ``(S, K)``, or None if they were not played yet."""
        path = self._returns(arm, split, mode)
        if not path.exists():
            return None
        value = read_json(path)
        if not isinstance(value, list):  # version 0.1 kept a bare list
            value = read_document(path).get("returns")
        try:
            returns = np.array(value, np.float64)
        except (TypeError, ValueError):
            returns = np.zeros(0)
        if returns.ndim != 2 or not returns.size or not np.isfinite(returns).all():
            raise DamagedFileError(
                f"{path} holds no returns: remove it with 'rm {path}' to have them played again."
            )
        return returns

    def save_returns(self, arm: str, split: str, mode: str, returns: npt.NDArray[np.float64]) -> None:
        """Keeps returns."""
        write_document(self._returns(arm, split, mode), {"returns": returns.tolist()})

    def load_trial(self, arm: str, trial: str, i: int, episodes: int) -> npt.NDArray[np.float64] | None:
        """Returns what student ``i`` of a trial of an arm's budget returned, ``(episodes,)``, or None before that.

        Raises:
            DamagedFileError: If the file holds something else.
        """
        path = self._trial(arm, trial, i)
        if not path.exists():
            return None
        value = read_document(path).get("returns")
        try:
            returns = np.array(value, np.float64)
        except (TypeError, ValueError):
            returns = np.zeros(0)
        if returns.shape != (episodes,) or not np.isfinite(returns).all():
            raise DamagedFileError(
                f"{path} holds no {episodes} returns: remove it with 'rm {path}' to have them played again."
            )
        return returns

    def save_trial(self, arm: str, trial: str, i: int, returns: npt.NDArray[np.float64]) -> None:
        """Keeps what a student of a trial returned; the student itself is not kept."""
        write_document(self._trial(arm, trial, i), {"returns": returns.tolist()})

    def _trial(self, arm: str, trial: str, i: int) -> Path:
        return self.directory / "tuning" / arm / f"{trial}-{i}.json"

    def _returns(self, arm: str, split: str, mode: str) -> Path:
        return self.directory / "returns" / f"{arm}-{split}-{mode}.json"
