"""gymnasium's spaces as arrays that networks read and write."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, Discrete, Space

from ..data.images import channel_first
from ..errors import DistillError

__all__ = ["ActionLayout", "ObservationLayout"]

FLATTEN = "override make_env in a task of your own and flatten it there (examples/add_a_task.py)"


@dataclasses.dataclass(frozen=True)
class ObservationLayout:
    """How observations of a space become arrays.

    Images, ``(H, W, C)`` or ``(C, H, W)``, come out channel-first; a grey one ``(H, W)`` of bytes gets its axis, and
    a stack ``(K, H, W, C)`` has its K images one after the other in the channels. Bytes stay bytes in images.
    Everything else becomes a float32 vector: numbers of any type and shape flattened, one of N states one-hot.

    Args:
        space: A ``Box`` or a ``Discrete``.
        shape: Of one array.
        dtype: Its type, uint8 or float32.
    """

    space: Space[Any]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, space: Space[Any], name: str) -> ObservationLayout:
        """Returns the layout of a space.

        Args:
            space: Of observations.
            name: The task's, for messages.

        Raises:
            DistillError: If it is neither a ``Box`` nor a ``Discrete``.
        """
        if isinstance(space, Discrete):
            return cls(space, (int(space.n),), np.dtype(np.float32))
        if not isinstance(space, Box):
            raise DistillError(f"{name} has observations {space}: expected a Box or a Discrete; {FLATTEN}.")
        pixels = space.dtype == np.uint8
        image = len(space.shape) in (3, 4) or (len(space.shape) == 2 and pixels)
        dtype = np.dtype(np.uint8 if image and pixels else np.float32)
        shape = _image(np.zeros(space.shape, np.bool_)).shape if image else (max(1, int(np.prod(space.shape))),)
        return cls(space, shape, dtype)

    @property
    def is_image(self) -> bool:
        """Whether arrays are images, ``(C, H, W)``."""
        return len(self.shape) == 3

    def read(self, observation: Any) -> npt.NDArray[Any]:
        """Returns an observation as a new array of ``shape`` and ``dtype``."""
        if isinstance(self.space, Discrete):
            one_hot: npt.NDArray[Any] = np.zeros(self.shape, self.dtype)
            one_hot[int(observation) - int(self.space.start)] = 1
            return one_hot
        array: npt.NDArray[Any] = np.array(observation, self.dtype)
        return _image(array) if self.is_image else array.reshape(self.shape)


def _image(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.ndim == 2:
        return array[None]
    if array.ndim == 3:
        array = array[None]
    frames = channel_first(array)
    return frames.reshape(-1, *frames.shape[2:])


@dataclasses.dataclass(frozen=True)
class ActionLayout:
    """How a policy's actions become those of a space.

    Args:
        space: A ``Discrete``, or a ``Box`` of floats.
        size: Number of discrete actions, A, or of the dimensions of a continuous one, D.
    """

    space: Space[Any]
    size: int

    @classmethod
    def of(cls, space: Space[Any], name: str) -> ActionLayout:
        """Returns the layout of a space.

        Args:
            space: Of actions.
            name: The task's, for messages.

        Raises:
            DistillError: If it is neither a ``Discrete`` nor a ``Box`` of floats.
        """
        if isinstance(space, Discrete):
            return cls(space, int(space.n))
        if isinstance(space, Box) and np.issubdtype(space.dtype, np.floating):
            return cls(space, max(1, int(np.prod(space.shape))))
        raise DistillError(f"{name} has actions {space}: expected a Discrete or a Box of floats; {FLATTEN}.")

    @property
    def discrete(self) -> bool:
        """Whether actions are discrete."""
        return isinstance(self.space, Discrete)

    @property
    def low(self) -> npt.NDArray[np.float32]:
        """Smallest values of a continuous action, float32 ``(D,)``."""
        assert isinstance(self.space, Box)
        return self.space.low.reshape(self.size).astype(np.float32)

    @property
    def high(self) -> npt.NDArray[np.float32]:
        """Largest values of a continuous action, float32 ``(D,)``."""
        assert isinstance(self.space, Box)
        return self.space.high.reshape(self.size).astype(np.float32)

    def write(self, action: npt.NDArray[Any] | np.integer[Any] | int) -> Any:
        """Returns what ``step`` takes for an action 0 to A - 1, or ``(D,)`` within the bounds."""
        if isinstance(self.space, Discrete):
            return int(action) + int(self.space.start)
        return np.asarray(action, self.space.dtype).reshape(self.space.shape or ())
