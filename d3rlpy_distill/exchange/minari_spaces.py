"""Spaces as Minari writes them, in JSON, and what of them our arrays keep."""

from __future__ import annotations

import json
import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, Discrete, Space

from ..errors import DatasetFormatError

__all__ = ["AnySpace", "Parts", "bound", "is_jpeg_space", "read_goal_space", "read_space", "space_json"]

AnySpace: TypeAlias = "Box | Discrete"
Parts: TypeAlias = "tuple[tuple[str, ...], ...]"
"""The keys of the arrays that an observation is joined from, one after the other."""
LARGEST = 1 << 24  # numbers of one observation
SMALLEST_JPEG = 32  # pixels a side
KINDS = "biuf"


def read_space(text: str, where: str) -> AnySpace:
    """Returns a space that Minari, or :func:`space_json`, wrote. Nothing that it names is imported or called.

    Args:
        text: JSON.
        where: The file and what of it, for messages.

    Raises:
        DatasetFormatError: If it is no ``Box`` and no ``Discrete``.
    """
    try:
        told = json.loads(text)
        if told["type"] == "Discrete":
            return Discrete(int(told["n"]), start=int(told.get("start", 0)))
        if told["type"] == "Box":
            shape, dtype = tuple(int(side) for side in told["shape"]), np.dtype(str(told["dtype"]))
            if math.prod(shape) > LARGEST or dtype.kind not in KINDS:
                raise ValueError(f"{shape} of {dtype}")
            low, high = (_full(told[end], shape, dtype) for end in ("low", "high"))
            return Box(low, high, shape, dtype.type)
    except (ValueError, TypeError, KeyError, AssertionError, OverflowError, RecursionError) as error:
        raise DatasetFormatError(f"{where}: a space that cannot be read ({error}).") from error
    raise DatasetFormatError(
        f"{where}: a {told['type']} space: expected a Box or a Discrete; flatten it in Minari first."
    )


def read_goal_space(text: str, where: str) -> tuple[Box, Parts] | None:
    """Returns the space of a goal-conditioned task's observations, joined as d3rlpy joins them; None of any other.

    Such a space is a ``Dict``. Its ``observation`` and its ``desired_goal``, a ``Box`` or a ``Dict`` of such, become
    one vector. What else it has, such as the ``achieved_goal``, follows from the observation.

    Args:
        text: JSON.
        where: The file and what of it, for messages.

    Raises:
        DatasetFormatError: If a part is no ``Box``.
    """
    try:
        told = json.loads(text)
        inner = told["subspaces"] if told["type"] == "Dict" else {}
        if not {"observation", "desired_goal"} <= set(inner):
            return None
        goal = inner["desired_goal"]
        named = goal["subspaces"] if goal["type"] == "Dict" else None
        found: dict[tuple[str, ...], object] = {("observation",): inner["observation"]}
        found |= (
            {("desired_goal",): goal} if named is None else {("desired_goal", k): named[k] for k in sorted(named)}
        )
        spaces = [read_space(json.dumps(value), where) for value in found.values()]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DatasetFormatError(f"{where}: a space that cannot be read ({error}).") from error
    boxes = [space for space in spaces if isinstance(space, Box)]
    if len(boxes) < len(spaces):
        raise DatasetFormatError(f"{where}: a goal that is no Box: flatten it in Minari first.")
    low, high = (np.concatenate([getattr(box, end).ravel() for box in boxes]) for end in ("low", "high"))
    return Box(low.astype(np.float32), high.astype(np.float32)), tuple(found)


def _full(value: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Bounds as an array; ours are one number where all are equal."""
    array = np.array(value, dtype)
    if array.shape not in ((), shape):
        raise ValueError(f"bounds of shape {array.shape}")
    return np.ascontiguousarray(np.broadcast_to(array, shape))


def space_json(space: AnySpace) -> str:
    """Returns a space as JSON, bounds as one number where all are equal; :func:`read_space` reads it."""
    if isinstance(space, Discrete):
        return json.dumps({"type": "Discrete", "n": int(space.n), "start": int(space.start)})
    low, high = bound(space.low), bound(space.high)
    return json.dumps(
        {"type": "Box", "dtype": str(space.dtype), "shape": list(space.shape), "low": low, "high": high}
    )


def bound(values: npt.NDArray[Any]) -> Any:
    """Returns one number where all are equal, else nested lists."""
    return values.flat[0].item() if values.size and (values == values.flat[0]).all() else values.tolist()


def is_jpeg_space(space: Space[Any]) -> bool:
    """Tells whether Minari keeps observations of a space as JPEG: images of bytes, of at least 32 pixels a side."""
    return (
        isinstance(space, Box)
        and len(space.shape) in (2, 3)
        and min(space.shape[:2]) >= SMALLEST_JPEG
        and space.dtype == np.uint8
        and bool((space.low == 0).all() and (space.high == 255).all())
    )
