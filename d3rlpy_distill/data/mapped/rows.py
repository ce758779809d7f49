"""Observations in a file, read by their indices as those in an array are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ..images import channel_first
from .cache import FrameCache

__all__ = ["MappedRows", "in_pieces", "rows_of"]

PIECE = 1024
"""Observations at once, where all of them are read; a multiple of the 64 that networks read at once."""


class MappedRows:
    """Observations ``(N, ...)``, some of a cache's in any order: what is read is copied, the rest stays in the file.

    It has what is asked of an array of observations: ``shape``, ``dtype``, ``ndim``, ``nbytes``, ``len`` and reading
    by an index, a slice, an array of indices or a mask, along the first axis; :func:`numpy.asarray` reads all of it.
    Images whose last axis is the channels come out channel-first.

    Args:
        cache: The cache.
        rows: Its steps, int64 ``(N,)``.
    """

    def __init__(self, cache: FrameCache, rows: npt.NDArray[np.int64]) -> None:
        self._cache, self._rows = cache, rows
        self.dtype = cache.dtype
        self.shape: tuple[int, ...] = (
            len(rows),
            *channel_first(np.empty((1, *cache.shape), cache.dtype)).shape[1:],
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return MappedRows, (self._cache, self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of an array of them."""
        return self.size * self.dtype.itemsize

    def __getitem__(self, index: int | slice | npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns a copy of one observation, or of several.

        Raises:
            IndexError: If there is no such observation.
            DamagedFileError: If the file is damaged there.
        """
        rows = self._rows[index]
        if rows.ndim:
            return channel_first(self._cache.read(rows))
        one: npt.NDArray[Any] = channel_first(self._cache.read(rows[None]))[0]
        return one

    def __array__(self, dtype: npt.DTypeLike = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Reads all of them."""
        everything = self[:]
        return everything if dtype is None else everything.astype(dtype)

    def only(self, index: npt.NDArray[Any]) -> MappedRows:
        """Returns those at ``index``, an array of indices or a mask, without reading them."""
        return MappedRows(self._cache, self._rows[index])


def rows_of(observations: npt.NDArray[Any], index: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns observations at ``index``: of an array a copy, of :class:`MappedRows` the same, nothing being read."""
    if isinstance(observations, MappedRows):
        return cast("npt.NDArray[Any]", observations.only(index))
    out: npt.NDArray[Any] = observations[index]
    return out


def in_pieces(observations: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Yields all observations ``(N, ...)`` in their order, at most :data:`PIECE` at once."""
    for start in range(0, len(observations), PIECE):
        yield observations[start : start + PIECE]
