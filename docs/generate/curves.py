"""The learning curve of an expert, from the ``curve.csv`` that its training left."""

from __future__ import annotations

import csv
import io

import numpy as np
from links import ROOT
from matplotlib.figure import Figure

__all__ = ["curve_plot"]

CHECKPOINTS = ROOT / "datasets" / "checkpoints"
WINDOW = 250_000  # environment steps that a point of the line is the mean of


def curve_plot(name: str) -> bytes | None:
    """Returns a PNG of the returns on training and validation levels; None if the run of that name left no curve."""
    path = CHECKPOINTS / name / "curve.csv"
    if not path.exists():
        return None
    with path.open() as file:
        rows = list(csv.DictReader(file))
    points = [(int(row["steps"]), float(row["train_return"])) for row in rows if row["train_return"]]
    validation = [(int(row["steps"]), float(row["validation_return"])) for row in rows if row["validation_return"]]
    steps, returns = np.array(points).T
    width = max(1, round(WINDOW / np.diff(steps).mean()))
    smooth = np.convolve(returns, np.ones(width) / width, "valid")
    figure = Figure(figsize=(6, 3), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.plot(steps[width - 1 :] / 1e6, smooth, label="training levels")
    if validation:
        at, values = np.array(validation).T
        axes.plot(at / 1e6, values, "o", label="validation levels, 50 episodes")
    axes.set(xlabel="environment steps of this run, millions", ylabel="mean return, actions sampled")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()
