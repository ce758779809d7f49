"""Synthetic frames, beside the real ones they started from, or views that are made of them, where there are such."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import DistillError
from ..files import appears_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..methods.distilled import Distilled

__all__ = ["gallery_figure", "has_images", "need_images", "save_gallery"]

COLUMNS = 10
GAIN = 4


def save_gallery(distilled: Distilled, path: Path, *, max_samples: int = 30, overwrite: bool = False) -> None:
    """Draws :func:`gallery_figure` into a PNG file.

    Args: those of :func:`gallery_figure`, ``path``, the file, and ``overwrite``, to replace what is there.

    Raises:
        DistillError: If the observations are not images.
        OutputExistsError: If the file exists.
    """
    figure = gallery_figure(distilled, max_samples=max_samples)
    with appears_atomically(path, overwrite=overwrite) as partial:
        figure.savefig(partial, format="png", dpi=150)


def gallery_figure(distilled: Distilled, *, max_samples: int = 30) -> Figure:
    """Draws samples, each in a column of its own.

    Where a method moved them: the real frame, the synthetic one, and their difference times four on grey. Where there
    are views: the frame, and under it a view that begins with it, with the likeliest action of its label. Else the
    frame alone.

    Args:
        distilled: Its observations are images on the 0-255 scale; the first three channels are shown.
        max_samples: At most so many samples, spread evenly over the set.

    Raises:
        DistillError: If the observations are not images.
    """
    count = len(distilled)
    need_images(distilled.samples.observations)
    from matplotlib.figure import Figure

    chosen = np.unique(np.linspace(0, count - 1, min(max_samples, count)).round().astype(int))
    shown = [_shown(distilled, int(i)) for i in chosen]
    columns = min(COLUMNS, len(chosen))
    blocks, height = -(-len(chosen) // columns), max(map(len, shown))
    figure = Figure(figsize=(1.1 * columns, 1.2 * height * blocks), layout="constrained")
    axes = figure.subplots(height * blocks, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for n, images in enumerate(shown):
        block, column = divmod(n, columns)
        for row, (label, image) in enumerate(images):
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


def _shown(distilled: Distilled, i: int) -> list[tuple[str, npt.NDArray[Any]]]:
    """What is drawn of sample ``i``, with titles."""
    samples, initial, views = distilled.samples, distilled.initial, distilled.views
    named, image = (f"action {samples.actions[i]}" if samples.discrete else ""), samples.observations[i]
    if initial is not None:
        before = initial.observations[i]
        change = 128 + GAIN * (image.astype(np.float32) - before.astype(np.float32))
        real = ", ".join(filter(None, ("real", named)))
        return [(real, before), ("synthetic", image), (f"change x{GAIN}", change)]
    if views is None or i not in views.sources[:, 0]:
        return [(named, image)]
    one = views.only(np.flatnonzero(views.sources[:, 0] == i)[:1])
    likeliest = int(one.labels[0].argmax())
    return [
        (named, image),
        (f"view: {likeliest}, {one.labels[0, likeliest]:.0%}", one.of(samples.observations)[0]),
    ]


def _picture(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    rgb = image[:3] if len(image) >= 3 else np.repeat(image[:1], 3, 0)
    return np.clip(np.rint(rgb.astype(np.float32)), 0, 255).astype(np.uint8).transpose(1, 2, 0)
