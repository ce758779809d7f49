"""Synthetic frames beside the real ones they started from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DistillError
from ..files import appears_atomically

__all__ = ["save_gallery"]

COLUMNS = 10
GAIN = 4


def save_gallery(
    synthetic: npt.NDArray[Any],
    initial: npt.NDArray[Any],
    actions: npt.NDArray[np.integer[Any]],
    path: Path,
    *,
    max_samples: int = 30,
    overwrite: bool = False,
) -> None:
    """Draws samples in threes: the real frame, the synthetic one, and their difference times four on grey.

    Args:
        synthetic: ``(M, C, H, W)`` on the 0-255 scale; the first three channels are shown.
        initial: The frames they started from, the same shape.
        actions: ``(M,)``.
        path: PNG file.
        max_samples: At most so many samples, spread evenly over the set.
        overwrite: Replace what is there; by default it is refused.

    Raises:
        DistillError: If the observations are not images.
        OutputExistsError: If the file exists.
    """
    if synthetic.ndim != 4 or (synthetic.shape[1] not in (1, 3) and synthetic.shape[1] < 3):
        raise DistillError(f"observations of shape {synthetic.shape[1:]}: a gallery needs images (C, H, W).")
    from matplotlib.figure import Figure

    chosen = np.unique(np.linspace(0, len(synthetic) - 1, min(max_samples, len(synthetic))).round().astype(int))
    columns = min(COLUMNS, len(chosen))
    blocks = -(-len(chosen) // columns)
    figure = Figure(figsize=(1.1 * columns, 3.6 * blocks), layout="constrained")
    axes = figure.subplots(3 * blocks, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for n, i in enumerate(chosen):
        block, column = divmod(n, columns)
        change = 128 + GAIN * (synthetic[i].astype(np.float32) - initial[i].astype(np.float32))
        for row, (label, image) in enumerate(
            (("real", initial[i]), ("synthetic", synthetic[i]), (f"change x{GAIN}", change))
        ):
            axis = axes[3 * block + row, column]
            axis.imshow(_picture(image), interpolation="nearest")
            axis.set_title(f"{label}, action {actions[i]}" if row == 0 else label, fontsize=6, pad=2)
    with appears_atomically(path, overwrite=overwrite) as partial:
        figure.savefig(partial, format="png", dpi=150)


def _picture(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    rgb = image[:3] if len(image) >= 3 else np.repeat(image[:1], 3, 0)
    return np.clip(np.rint(rgb.astype(np.float32)), 0, 255).astype(np.uint8).transpose(1, 2, 0)
