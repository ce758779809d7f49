"""What a sweep leaves behind: its cells, in one file."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DistillError
from ..evaluation.results import Results
from ..files import write_json

__all__ = ["SweepCell", "method_arm", "save_sweep"]


@dataclasses.dataclass(frozen=True)
class SweepCell:
    """One distillation of a sweep and its evaluation.

    Args:
        game: The game.
        method: ``"gradient"``, ``"unrolled"`` or ``"labels"``.
        samples: Size of the synthetic set, N.
        seed: Of the distillation.
        seconds: That the distillation took, NaN if that was not recorded.
        results: With the arms :func:`method_arm` and ``random-N``; one cell of each game and seed may have
            ``bc-100``.
    """

    game: str
    method: str
    samples: int
    seed: int
    seconds: float
    results: Results

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON object; an unknown time is null."""
        seconds = self.seconds if np.isfinite(self.seconds) else None
        return {**dataclasses.asdict(self), "seconds": seconds}

    @classmethod
    def from_json(cls, value: Any) -> SweepCell:
        """Inverse of :meth:`to_json`.

        Raises:
            DistillError: If the object does not follow the schema.
        """
        try:
            seconds = float("nan") if value["seconds"] is None else float(value["seconds"])
            return cls(**{**value, "seconds": seconds, "results": Results.from_json(value["results"])})
        except (TypeError, KeyError, ValueError) as error:
            raise DistillError(f"cells do not follow the schema of 'rld-distill sweep': {error}") from error


def method_arm(method: str, n_samples: int) -> str:
    """Returns the arm of a method's samples: soft labels have a name of their own."""
    return f"{'soft' if method == 'labels' else 'distilled'}-{n_samples}"


def save_sweep(cells: Sequence[SweepCell], path: Path) -> None:
    """Writes the cells as ``{"cells": [...]}``, atomically."""
    write_json(path, {"cells": [cell.to_json() for cell in cells]})
