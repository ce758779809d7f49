"""Units of work, and what places that run them have in common."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import pickle
import time
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from ..cores import on_cores
from ..errors import DistillError, SettingsError

__all__ = [
    "RETRIES",
    "Ended",
    "Executor",
    "Held",
    "Pool",
    "Shared",
    "Tell",
    "Unit",
    "Watch",
    "died",
    "do",
    "portable",
]

RETRIES = 2
"""How often a unit is run again whose worker died under it."""

T = TypeVar("T")
R = TypeVar("R")
Tell = Callable[[int, int], None]
"""A unit calls it with the steps that it has taken and those that there are."""


class Shared(abc.ABC, Generic[T]):
    """A value that many units read: sent once to each node, and read-only there."""

    @abc.abstractmethod
    def get(self) -> T:
        """Returns the value, where a unit runs."""


class Held(Shared[T]):
    """A value of this process.

    Args:
        value: The value.
    """

    def __init__(self, value: T) -> None:
        self._value = value

    def get(self) -> T:
        """Returns it."""
        return self._value


@dataclasses.dataclass(frozen=True, eq=False)
class Unit(Generic[R]):
    """One piece of work: a function and what it is called with.

    Args:
        name: What people are shown, for example ``"training bc-100, student 3"``.
        function: Of a module, for other processes import it from there. It is called with a :data:`Tell` and with the
            arguments, and depends on nothing else: run anywhere, or run again, it returns the same.
        arguments: Pickled; those that are :class:`Shared` arrive as the value.
        cores: Torch threads, on which last bits depend.
        gpus: GPUs.
    """

    name: str
    function: Callable[..., R]
    arguments: tuple[Any, ...]
    cores: int = 1
    gpus: int = 0


@dataclasses.dataclass(frozen=True)
class Ended(Generic[R]):
    """What became of a unit.

    Args:
        result: What it returned.
        error: What it raised; None if it returned.
        seconds: That it took where it ran, without what came before: the fetching of its arguments, for example.
    """

    result: R | None = None
    error: Exception | None = None
    seconds: float = 0.0


class Watch(Protocol):
    """Is told what units do."""

    def begun(self, unit: Unit[Any], node: str) -> None:
        """A unit runs on a node; once more, perhaps, because its worker died."""

    def told(self, unit: Unit[Any], done: int, total: int) -> None:
        """A unit has taken so many steps."""


class Pool(Protocol):
    """An executor that is open: it has workers."""

    def share(self, value: T) -> Shared[T]:
        """Returns a handle for the arguments of units; the value is gone when the handle is."""

    def room(self) -> int:
        """Returns how many more units it takes at this moment."""

    def submit(self, unit: Unit[Any]) -> None:
        """Takes a unit."""

    def wait(self) -> tuple[Unit[Any], Ended[Any]]:
        """Waits until one of the units that were taken ends."""


@dataclasses.dataclass(frozen=True)
class Executor(abc.ABC):
    """A place where units of work run; the same units give the same results in each.

    Args:
        jobs: Units at a time; None takes as many as there are cores for.
        address: Of a cluster, for those that run on one.
    """

    jobs: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise SettingsError(f"jobs={self.jobs}: expected 1 or more.")

    @abc.abstractmethod
    def open(self, watch: Watch) -> contextlib.AbstractContextManager[Pool]:
        """Starts it; on the way out, whatever still runs is ended.

        Args:
            watch: Told of what units do.

        Raises:
            DistillError: If there is no such place.
        """


def do(unit: Unit[R], tell: Tell) -> Ended[R]:
    """Runs a unit here, on its cores."""
    try:
        arguments = [one.get() if isinstance(one, Shared) else one for one in unit.arguments]
        with on_cores(unit.cores):
            start = time.perf_counter()
            result = unit.function(tell, *arguments)
            return Ended(result, seconds=time.perf_counter() - start)
    except Exception as error:  # told to whoever wants the result
        return Ended(error=error)


def died(unit: Unit[Any], how: str) -> Ended[Any]:
    """What became of a unit whose workers have died, each time that it was run."""
    return Ended(
        error=DistillError(
            f"{unit.name}: its process ended without a result ({how}), {RETRIES + 1} times: out of memory?"
        )
    )


def portable(error: Exception) -> Exception:
    """Returns the error, or its text where it cannot be sent."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # anybody's class may raise anything
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
