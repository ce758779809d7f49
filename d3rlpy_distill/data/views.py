"""Views of few images: composites of their parts, each of which has a label of its own."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import UnsuitableDatasetError

__all__ = ["Views", "draw_views"]

PIXELS = 2**20  # at once: what is known of each meanwhile takes many times its room
SOURCE, SMALL, LARGE, LABEL = (np.dtype(name) for name in ("int16", "int8", "int16", "float16"))
PASTED = 0.8
"""Probability of each patch but the first."""
SMALLEST = 8
"""A patch measures at least this part of the image's height, and of its width."""


@dataclasses.dataclass(frozen=True, eq=False)
class Views:
    """V images that are made of parts of M others.

    A view is L patches, each pasted over those before it. A patch is a box of one of the images, all of which was
    shifted before; where a shift uncovers something, the edge is repeated. The first patch covers the view. What is
    kept of a view is how it is made, and no pixel: 8 bytes a patch of a small image.

    Args:
        sources: The image of each patch, 0 to M - 1, int16 ``(V, L)``.
        geometry: Of each patch: pixels by which its image is shifted up and to the left, and its box, top, left, bottom
            and right, the last two excluded; an empty box pastes nothing. Int16, or int8 where no number exceeds 127,
            ``(V, L, 6)``.
        labels: A distribution over the actions for each view, float16 ``(V, A)``.
    """

    sources: npt.NDArray[np.int16]
    geometry: npt.NDArray[np.integer[Any]]
    labels: npt.NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def nbytes(self) -> int:
        """Bytes of what is kept, labels among them."""
        return self.sources.nbytes + self.geometry.nbytes + self.labels.nbytes

    @property
    def probabilities(self) -> npt.NDArray[np.float32]:
        """The labels as float32 ``(V, A)``, whose rows sum to 1 but for rounding in float32."""
        labels: npt.NDArray[np.float32] = self.labels.astype(np.float32)
        labels /= labels.sum(1, keepdims=True)
        return labels

    def only(self, index: slice | npt.NDArray[Any]) -> Views:
        """Returns those at ``index``, a slice, an array of indices or a mask."""
        return Views(self.sources[index], self.geometry[index], self.labels[index])

    def of(self, images: npt.NDArray[Any], out: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        """Returns all views of images ``(M, C, H, W)``, of their dtype, ``(V, C, H, W)``.

        Args:
            images: The images.
            out: Where to write them; a new array by default.
        """
        images = np.asarray(images)
        count, channels, height, width = images.shape
        made = np.empty((len(self), channels, height, width), images.dtype) if out is None else out
        pixels = np.ascontiguousarray(images.transpose(0, 2, 3, 1)).reshape(count * height * width, channels)
        at_once = max(1, PIXELS // (height * width))
        for start in range(0, len(self), at_once):
            piece = slice(start, start + at_once)
            index = _pixels(self.sources[piece], self.geometry[piece], height, width)
            made[piece] = pixels[index].transpose(0, 3, 1, 2)
        return made

    def tobytes(self) -> bytes:
        """Returns everything, for a hash."""
        return self.sources.tobytes() + self.geometry.tobytes() + self.labels.tobytes()

    def problem(self, n_images: int, shape: tuple[int, ...]) -> str | None:
        """Says why these are no views of ``n_images`` images of a shape ``(C, H, W)``; None if they are."""
        dtypes = self.sources.dtype, self.geometry.dtype, self.labels.dtype
        if dtypes not in [(SOURCE, size, LABEL) for size in (SMALL, LARGE)]:
            return f"of types {', '.join(map(str, dtypes))}: expected int16, int8 or int16, and float16"
        views, layers = self.sources.shape if self.sources.ndim == 2 else (0, 0)
        if not layers or self.geometry.shape != (views, layers, 6) or self.labels.shape[:1] != (views,):
            return (
                f"of shapes {self.sources.shape}, {self.geometry.shape} and {self.labels.shape}: expected (V, L), "
                "(V, L, 6) and (V, A)"
            )
        if len(shape) != 3:
            return f"of observations of shape {shape}: expected images"
        if views and not 0 <= self.sources.min() <= self.sources.max() < n_images:
            return f"of images {self.sources.min()} to {self.sources.max()}: expected 0 to {n_images - 1}"
        top, left, bottom, right = np.moveaxis(self.geometry[:, :, 2:].astype(np.int64), -1, 0)
        inside = (top >= 0) & (left >= 0) & (bottom <= shape[1]) & (right <= shape[2])
        whole = (top == 0) & (left == 0) & (bottom == shape[1]) & (right == shape[2])
        if not (inside.all() and whole[:, 0].all()):
            return f"with patches outside of {shape[1]} x {shape[2]} pixels, or with pixels that none covers"
        return None


def draw_views(
    n_images: int, shape: tuple[int, ...], n_views: int, *, patches: int, shift: int, rng: np.random.Generator
) -> Views:
    """Draws how views are made; they have no labels yet.

    Each patch is of an image of its own, with a shift of its own, both drawn uniformly. The first one covers the view.
    Each further one is there with probability 0.8; its height, its width and its place are drawn uniformly, the sides
    from about an eighth of the image's on. That one image is pasted into another is the idea of CutMix (Yun et al.,
    arXiv 1905.04899), which mixes their labels as well.

    Args:
        n_images: M.
        shape: Of an image, ``(C, H, W)``.
        n_views: V.
        patches: How many are pasted over the first one at most, 0 or more.
        shift: Largest shift in pixels, to each side, 0 or more.
        rng: Draws everything.

    Raises:
        UnsuitableDatasetError: If observations are no images, or too many or too large.
    """
    if len(shape) != 3:
        raise UnsuitableDatasetError(
            f"views of observations of shape {shape}: expected images; give --method labels or kernel."
        )
    most = np.iinfo(LARGE).max
    told = {"samples": n_images, "pixels a side": max(shape[1:]), "pixels of shift": shift}
    if too_many := [f"{number} {name}" for name, number in told.items() if number > most]:
        raise UnsuitableDatasetError(f"views of {', '.join(too_many)}: expected at most {most}.")
    layers, size = patches + 1, np.array(shape[1:])
    shifts = rng.integers(-shift, shift, (n_views, layers, 2), endpoint=True)
    sides = rng.integers(np.maximum(size // SMALLEST, 1), size, (n_views, layers, 2), endpoint=True)
    first = rng.integers(0, size - sides, endpoint=True)
    sides *= (rng.random((n_views, layers, 1)) < PASTED).astype(np.int64)
    first[:, 0], sides[:, 0] = 0, size
    geometry = np.concatenate([shifts, first, first + sides], axis=2)
    small = max(*shape[1:], shift) <= np.iinfo(SMALL).max
    sources = rng.integers(n_images, size=(n_views, layers)).astype(SOURCE)
    return Views(sources, geometry.astype(SMALL if small else LARGE), np.empty((n_views, 0), LABEL))


def _pixels(
    sources: npt.NDArray[np.int16], geometry: npt.NDArray[np.integer[Any]], height: int, width: int
) -> npt.NDArray[np.int64]:
    """The pixel of all images, one after the other, that stands at each place of each view, ``(B, H, W)``."""
    rows, columns = np.arange(height), np.arange(width)
    out = np.zeros((len(sources), height, width), np.int64)
    for layer in range(sources.shape[1]):
        up, aside, top, left, bottom, right = geometry[:, layer].astype(np.int64).T[:, :, None]
        row = np.clip(rows + up, 0, height - 1)
        column = np.clip(columns + aside, 0, width - 1)
        inside = ((rows >= top) & (rows < bottom))[:, :, None] & ((columns >= left) & (columns < right))[:, None]
        index = (sources[:, layer, None].astype(np.int64) * height + row)[:, :, None] * width + column[:, None]
        np.copyto(out, index, where=inside)
    return out
