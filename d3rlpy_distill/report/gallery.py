"""Synthetic frames, beside the real ones they started from where there are such."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import DistillError
from ..files import appears_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["gallery_figure", "has_images", "need_images", "save_gallery"]

COLUMNS = 10
GAIN = 4


def save_gallery(
    synthetic: npt.NDArray[Any],
    initial: npt.NDArray[Any] | None,
    actions: npt.NDArray[Any],
    path: Path,
    *,
    max_samples: int = 30,
    overwrite: bool = False,
) -> None:
    """Draws :func:`gallery_figure` into a PNG file.

    Args: those of :func:`gallery_figure`, ``path``, the file, and ``overwrite``, to replace what is there.

    Raises:
        DistillError: If the observations are not images.
        OutputExistsError: If the file exists.
    """
    figure = gallery_figure(synthetic, initial, actions, max_samples=max_samples)
    with appears_atomically(path, overwrite=overwrite) as partial:
        figure.savefig(partial, format="png", dpi=150)


def gallery_figure(
    synthetic: npt.NDArray[Any],
    initial: npt.NDArray[Any] | None,
    actions: npt.NDArray[Any],
    *,
    max_samples: int = 30,
) -> Figure:
    """Draws samples in threes: the real frame, the synthetic one, and their difference times four on grey.

    Args:
        synthetic: ``(M, C, H, W)`` on the 0-255 scale; the first three channels are shown.
        initial: The frames they started from, the same shape; None where nothing moved them: they stand alone then.
        actions: ``(M,)``, or ``(M, D)`` where they are continuous.
        max_samples: At most so many samples, spread evenly over the set.

    Raises:
        DistillError: If the observations are not images.
    """
    need_images(synthetic)
    from matplotlib.figure import Figure

    chosen = np.unique(np.linspace(0, len(synthetic) - 1, min(max_samples, len(synthetic))).round().astype(int))
    columns = min(COLUMNS, len(chosen))
    blocks = -(-len(chosen) // columns)
    height = 1 if initial is None else 3
    figure = Figure(figsize=(1.1 * columns, 1.2 * height * blocks), layout="constrained")
    axes = figure.subplots(height * blocks, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for n, i in enumerate(chosen):
        block, column = divmod(n, columns)
        named = f"action {actions[i]}" if actions.ndim == 1 else ""
        for row, (label, image) in enumerate(_shown(synthetic[i], None if initial is None else initial[i], named)):
            axis = axes[height * block + row, column]
            axis.imshow(_picture(image), interpolation="none")
            axis.set_title(label, fontsize=6, pad=2)
    return figure


def has_images(observations: npt.NDArray[Any]) -> bool:
    """Tells whether observations can be shown: ``(M, C, H, W)`` of one channel, or of three or more."""
    return observations.ndim == 4 and (observations.shape[1] == 1 or observations.shape[1] >= 3)


def need_images(observations: npt.NDArray[Any]) -> None:
    """Refuses observations that cannot be shown, see :func:`has_images`.

    Raises:
        DistillError: If they cannot.
    """
    if not has_images(observations):
        raise DistillError(f"observations of shape {observations.shape[1:]}: a gallery needs images (C, H, W).")


def _shown(
    synthetic: npt.NDArray[Any], initial: npt.NDArray[Any] | None, named: str
) -> list[tuple[str, npt.NDArray[Any]]]:
    if initial is None:
        return [(named, synthetic)]
    change = 128 + GAIN * (synthetic.astype(np.float32) - initial.astype(np.float32))
    return [
        (", ".join(filter(None, ("real", named))), initial),
        ("synthetic", synthetic),
        (f"change x{GAIN}", change),
    ]


def _picture(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    rgb = image[:3] if len(image) >= 3 else np.repeat(image[:1], 3, 0)
    return np.clip(np.rint(rgb.astype(np.float32)), 0, 255).astype(np.uint8).transpose(1, 2, 0)
