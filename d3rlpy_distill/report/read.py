"""Reading what ``evaluate`` and ``sweep`` leave behind."""

from __future__ import annotations

from pathlib import Path

from ..errors import DistillError
from ..evaluation.results import Results
from ..files import read_json
from ..sweeping.cell import SweepCell, load_sweep

__all__ = ["read_report"]

DATASETS = (".h5", ".hdf5")


def read_report(path: Path) -> Results | list[SweepCell]:
    """Reads a file of results, or of a sweep's cells, or the one in a directory.

    Raises:
        DistillError: If there is none, or it does not follow its schema.
    """
    if path.is_dir() and (path / "sweep.json").is_file():
        path = path / "sweep.json"
    if path.suffix in DATASETS:
        raise DistillError(f"{path} is a dataset: expected the results of 'rld-distill evaluate' or 'sweep'.")
    if path.is_file():
        value = read_json(path)
        if isinstance(value, dict) and isinstance(value.get("cells"), list):
            return load_sweep(path)
    return Results.load(path)
