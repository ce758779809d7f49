"""Values in files that all processes of a machine map into their memory: their arrays are there once."""

from __future__ import annotations

import io
import mmap
import pickle
import secrets
import weakref
from collections import OrderedDict
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from .base import Shared

__all__ = ["Mapped", "OnThisMachine"]

T = TypeVar("T")
KEPT = 6  # values that a process keeps ready: a dataset, its arms, and those before them
ALIGNED = 64  # bytes, as NumPy likes its arrays

_ready: OrderedDict[Path, Any] = OrderedDict()


@runtime_checkable
class OnThisMachine(Protocol):
    """A value that other processes of this machine can get without its bytes: from a file that all of them see."""

    def reduce_here(self) -> tuple[Any, ...]:
        """Returns what :meth:`object.__reduce__` returns, for a process of this machine."""


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: object) -> Any:
        if isinstance(value, OnThisMachine) and not isinstance(value, type):
            return value.reduce_here()
        return NotImplemented


class Mapped(Shared[T]):
    """A value in a file. The file is removed when this object is, in the process that made it.

    Args:
        value: Pickled; its arrays lie beside the pickle, and are mapped where the value is read.
        directory: Where the file is made.

    Raises:
        Exception: Anything, where the value cannot be pickled.
    """

    def __init__(self, value: T, directory: Path) -> None:
        buffers: list[pickle.PickleBuffer] = []
        data = io.BytesIO()
        _Pickler(data, protocol=5, buffer_callback=buffers.append).dump(value)
        self._path = directory / f"{secrets.token_hex(8)}.shared"
        self._parts: list[tuple[int, int]] = []  # where each begins and ends
        with self._path.open("wb") as file:
            for part in (data.getbuffer(), *(buffer.raw() for buffer in buffers)):
                file.write(b"\0" * (-file.tell() % ALIGNED))
                start = file.tell()
                file.write(part)
                self._parts.append((start, file.tell()))
        self._removed = weakref.finalize(self, self._path.unlink, missing_ok=True)

    def get(self) -> T:
        """Returns the value; writing to its arrays changes nothing elsewhere."""
        if self._path not in _ready:
            with self._path.open("rb") as file:
                whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
            first, *others = (whole[start:stop] for start, stop in self._parts)
            _ready[self._path] = pickle.loads(first, buffers=others)
        _ready.move_to_end(self._path)
        while len(_ready) > KEPT:
            _ready.popitem(last=False)
        value: T = _ready[self._path]
        return value

    def __getstate__(self) -> dict[str, Any]:
        """Another process only reads it."""
        return {"_path": self._path, "_parts": self._parts}
