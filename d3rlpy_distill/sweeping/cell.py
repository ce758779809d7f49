"""What a sweep leaves behind: its cells in one file, their raw returns in another beside it."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..errors import DistillError
from ..evaluation.layout import lay_out
from ..evaluation.results import SCHEMA, ArmResult, Results, shapes
from ..evaluation.returns import load_returns, save_returns
from ..files import read_document, write_document

__all__ = ["SweepCell", "is_torn", "load_sweep", "save_sweep"]


@dataclasses.dataclass(frozen=True, eq=False)
class SweepCell:
    """One distillation of a sweep and its evaluation.

    Args:
        method: As registered.
        samples: Size of the distilled set, N.
        seed: Of the distillation.
        seconds: That the distillation took, its teachers' training included; NaN if that was not recorded.
        results: With one distilled arm and one of random samples; one cell of each dataset and seed may have the
            arm of all data.
    """

    method: str
    samples: int
    seed: int
    seconds: float
    results: Results

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.results.task

    @property
    def source(self) -> tuple[str, str | None, str | None]:
        """What cells must share to share students of all data: task, hash of the dataset, student."""
        student = next(iter(self.results.students), None)
        return self.task, self.results.protocol.get("real_sha256"), student

    def arm(self, kind: str, split: str) -> ArmResult | None:
        """Returns the arm of a kind as tables show it: ``"distilled"``, ``"random"`` or ``"full"``; or None.

        Labels are actions, but for the distilled arm, which has those of its method.
        """
        names = [
            name
            for name in self.results.names()
            if (about := self.results.about(name)).kind == kind
            and (kind == "distilled" or about.labels == "actions")
        ]
        return self.results.main(names[0], split) if names else None

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON object, without the raw returns; an unknown time is null."""
        return {
            "task": self.task,
            "method": self.method,
            "samples": self.samples,
            "seed": self.seed,
            "seconds": self.seconds if math.isfinite(self.seconds) else None,
            "results": self.results.to_json(),
        }


def save_sweep(cells: Sequence[SweepCell], path: Path) -> None:
    """Writes the cells as ``NAME.json``, and their raw returns as ``NAME.npz`` beside it, over those of last time."""
    every = [arm.returns for cell in cells for arm in cell.results.arms]
    digest = save_returns(path.with_suffix(".npz"), every, overwrite=True)
    value = {"schema": SCHEMA, "cells": [cell.to_json() for cell in cells], "returns_sha256": digest}
    write_document(path, value, overwrite=True, layout=lay_out)


def load_sweep(path: Path) -> list[SweepCell]:
    """Inverse of :func:`save_sweep`; reads files of version 0.1, too.

    Raises:
        DistillError: If the file does not follow its schema, or its returns are missing or changed.
    """
    try:
        value = read_document(path, unsealed=True)
        cells: list[Mapping[str, Any]] = list(value["cells"])
        if not cells:
            raise ValueError("no cells")
        returns = _returns(value, cells, path) if "schema" in value else [None] * len(cells)
        return [_cell(cell, path, own) for cell, own in zip(cells, returns, strict=True)]
    except (OSError, TypeError, KeyError, ValueError, AttributeError) as error:
        reason = " ".join(f"{type(error).__name__} {error}".split())
        raise DistillError(f"{path}: cells do not follow the schema of 'rld-distill sweep': {reason}") from error


def is_torn(path: Path) -> bool:
    """Tells whether the returns beside a record are not those that it names: it was killed between the two.

    Raises:
        DistillError: If the record itself is damaged.
    """
    value, beside = read_document(path, unsealed=True), path.with_suffix(".npz")
    return beside.exists() and hashlib.sha256(beside.read_bytes()).hexdigest() != value.get("returns_sha256")


def _returns(
    value: Mapping[str, Any], cells: Sequence[Mapping[str, Any]], path: Path
) -> Sequence[list[npt.NDArray[Any]] | None]:
    """The raw returns of each cell."""
    if value["schema"] != SCHEMA:
        raise DistillError(
            f"{path} is of schema {value['schema']}: this version reads {SCHEMA}; update d3rlpy-distill."
        )
    wanted = [shapes(cell["results"]) for cell in cells]
    every = iter(load_returns(path.with_suffix(".npz"), value["returns_sha256"], [*itertools.chain(*wanted)]))
    return [list(itertools.islice(every, len(each))) for each in wanted]


def _cell(value: Mapping[str, Any], path: Path, returns: Sequence[npt.NDArray[Any]] | None) -> SweepCell:
    seconds = value["seconds"]
    return SweepCell(
        method=str(value["method"]),
        samples=int(value["samples"]),
        seed=int(value["seed"]),
        seconds=math.nan if seconds is None else float(seconds),
        results=Results.from_json(value["results"], path, returns),
    )
