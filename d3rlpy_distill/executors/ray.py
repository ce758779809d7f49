"""Units of work on a Ray cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import platform
import socket
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..cores import available_cores
from ..errors import DistillError, MissingExtraError, SettingsError
from ..registry import load_plugin_text, loaded_plugins
from .base import RETRIES, Ended, Executor, Pool, Shared, Tell, Unit, Watch, died, do, portable

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

__all__ = ["RayExecutor"]

T = TypeVar("T")

AHEAD = 2  # units handed over for each that runs: the next one is there when a core is free
LOOK = 1.0  # seconds between two looks at what units say
TOLD_EVERY = 1.0  # seconds between two words on one unit
CONNECTED = 10.0  # seconds until a cluster has to answer
KEPT = 6  # shared values that a worker keeps ready


@dataclasses.dataclass(frozen=True)
class RayExecutor(Executor):
    """A Ray cluster, on whose nodes this package is installed, or Ray on this machine alone.

    A dataset is put into Ray's object store and fetched once by each node; the workers of a node read it there. A unit
    whose worker or node dies is run again elsewhere. Everything is written by this process; a node that sees the
    directory of a distillation keeps the checkpoint of one there.

    Args:
        jobs: Units at a time; None leaves it to the cluster.
        address: Of the cluster: ``"auto"``, the one that ``ray start`` has begun here, or ``"HOST:PORT"``. None takes
            that of ``RAY_ADDRESS``, and without one starts Ray on this machine for as long as this takes.

    Raises:
        MissingExtraError: If Ray is not installed.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            import ray  # noqa: F401
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "the executor 'ray' needs Ray: type pip install 'd3rlpy-distill[ray]'"
            ) from error

    @contextlib.contextmanager
    def open(self, watch: Watch) -> Iterator[Pool]:
        """See :meth:`~.base.Executor.open`."""
        import ray

        ours = not ray.is_initialized()
        if ours:
            _connect(self.address)
        elif self.address is not None:
            raise SettingsError(
                f"address {self.address!r}: this process is connected to Ray already; leave it out."
            )
        pool = None
        try:
            pool = _RayPool(watch, self.jobs)
            yield pool
        finally:
            try:
                if pool is not None:
                    pool.close()
            finally:
                if ours:
                    ray.shutdown()


def _connect(address: str | None) -> None:
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody was asked
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    known = address or os.environ.get("RAY_ADDRESS")
    try:
        _check_answers(known or "auto")
        if known is None:
            ray.init("local", num_cpus=available_cores(), include_dashboard=False, **quiet)
        else:
            ray.init(known, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        where = f"no Ray cluster answers at {known}" if known else "Ray does not start on this machine"
        raise DistillError(
            f"{where} ({error}): start one with 'ray start --head', and give --address auto there, or HOST:6379."
        ) from error


def _check_answers(address: str) -> None:
    """Refuses an address where nothing listens: Ray would try for minutes.

    Raises:
        OSError: If nothing does.
    """
    host, colon, port = address.rpartition("://")[2].partition("/")[0].rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), CONNECTED).close()


class _Put(Shared[T]):
    """A value in the object store."""

    def __init__(self, reference: ObjectRef[T]) -> None:
        self.reference = reference

    def get(self) -> T:
        """Returns the value, whose arrays lie in the memory of the node."""
        import ray

        if self.reference not in _ready:
            _ready[self.reference] = ray.get(self.reference)
        _ready.move_to_end(self.reference)
        while len(_ready) > KEPT:
            _ready.popitem(last=False)
        value: T = _ready[self.reference]
        return value


_ready: OrderedDict[ObjectRef[Any], Any] = OrderedDict()


class _Words:
    """What units say of themselves, until the process that runs the sweep asks: an actor beside it."""

    def __init__(self) -> None:
        self._said: list[tuple[int, Any]] = []

    def say(self, number: int, word: Any) -> None:
        """A unit runs on a node (its id), or has taken steps (done, total)."""
        self._said.append((number, word))

    def take(self) -> list[tuple[int, Any]]:
        """Returns what was said since the last time."""
        said, self._said = self._said, []
        return said


def _work(number: int, unit: Unit[Any], plugins: Mapping[Path, str], words: ActorHandle[Any]) -> Ended[Any]:
    """What a worker does: one unit."""
    import ray
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    words.say.remote(number, ray.get_runtime_context().get_node_id())
    for path, text in plugins.items():
        load_plugin_text(path, text)
    ended = do(unit, _teller(number, words))
    return ended if ended.error is None else Ended(error=portable(ended.error))


def _teller(number: int, words: ActorHandle[Any]) -> Tell:
    import time

    at = 0.0

    def tell(done: int, total: int) -> None:
        nonlocal at
        if time.monotonic() - at > TOLD_EVERY:
            at = time.monotonic()
            words.say.remote(number, (done, total))

    return tell


class _RayPool:
    def __init__(self, watch: Watch, jobs: int | None) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._watch, self._jobs = watch, jobs
        self._running: dict[ObjectRef[Any], tuple[int, Unit[Any]]] = {}
        self._units: dict[int, Unit[Any]] = {}
        self._number = 0
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        self._words = ray.remote(_Words).options(num_cpus=0, scheduling_strategy=here).remote()
        self._said = self._words.take.remote()
        self._work = ray.remote(_work)
        self._plugins = ray.put({path: path.read_text() for path in loaded_plugins()})

    def share(self, value: T) -> Shared[T]:
        """See :class:`~.base.Pool`."""
        import ray

        try:
            return _Put(ray.put(value))
        except Exception as error:  # anybody's class may raise anything
            raise DistillError(
                f"{type(value).__name__} cannot be sent to another process ({type(error).__name__}: {error}): let its "
                "class say how it is pickled."
            ) from error

    def room(self) -> int:
        """See :class:`~.base.Pool`."""
        if self._jobs is not None:
            return self._jobs - len(self._running)
        cores = max((unit.cores for _, unit in self._running.values()), default=1)
        return AHEAD * max(1, int(sum(_cpus())) // cores) - len(self._running)

    def submit(self, unit: Unit[Any]) -> None:
        """See :class:`~.base.Pool`."""
        largest = max(_cpus(), default=0)
        if 0 < largest < unit.cores:  # none at all: a cluster that grows when something is asked of it
            raise SettingsError(
                f"cores={unit.cores}: the largest node of the cluster has {largest:g}; give fewer."
            )
        self._number += 1
        options = {
            "name": unit.name,
            "num_cpus": unit.cores,
            "num_gpus": unit.gpus,
            "max_retries": RETRIES,
        }
        reference = self._work.options(**options).remote(self._number, unit, self._plugins, self._words)
        self._running[reference] = self._number, unit
        self._units[self._number] = unit

    def wait(self) -> tuple[Unit[Any], Ended[Any]]:
        """See :class:`~.base.Pool`."""
        import ray

        while True:
            self._listen()
            done, _ = ray.wait(list(self._running), num_returns=1, timeout=LOOK)
            if done:
                number, unit = self._running.pop(done[0])
                del self._units[number]
                return unit, _outcome(unit, done[0])

    def _listen(self) -> None:
        """Passes on what units have said, if it has arrived."""
        import ray

        ready, _ = ray.wait([self._said], timeout=0)
        if not ready:
            return
        said: Sequence[tuple[int, Any]] = ()
        with contextlib.suppress(ray.exceptions.RayError):  # its node has died; nothing but words is lost
            said = ray.get(ready[0])
        self._said = self._words.take.remote()
        names = _node_names() if said else {}
        for number, word in said:
            unit = self._units.get(number)
            if unit is not None and isinstance(word, str):
                self._watch.begun(unit, names.get(word, word[:6]))
            elif unit is not None:
                self._watch.told(unit, *word)

    def close(self) -> None:
        """Ends what runs."""
        import ray

        for reference in self._running:
            with contextlib.suppress(ray.exceptions.RayError, ValueError):
                ray.cancel(reference, force=True)
        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(self._words)


def _outcome(unit: Unit[Any], reference: ObjectRef[Any]) -> Ended[Any]:
    import ray

    try:
        ended: Ended[Any] = ray.get(reference)
        return ended
    except (
        ray.exceptions.WorkerCrashedError,
        ray.exceptions.NodeDiedError,
        ray.exceptions.OutOfMemoryError,
    ) as error:
        return died(unit, type(error).__name__)
    except ray.exceptions.RayError as error:  # of a class that cannot be pickled, or is not installed there
        return Ended(error=DistillError(f"{unit.name}: {' '.join(str(error).split())[:500]}"))


def _cpus() -> list[float]:
    """Cores of each node that is alive."""
    import ray

    return [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]


def _node_names() -> dict[str, str]:
    """What people call each node, by its id: its host, and part of the id where a host has several."""
    import ray

    hosts = {node["NodeID"]: str(node["NodeManagerHostname"]) for node in ray.nodes()}
    several = {host for host in hosts.values() if list(hosts.values()).count(host) > 1}
    alone = len(hosts) == 1 and platform.node() in hosts.values()
    return {one: "" if alone else f"{host}/{one[:6]}" if host in several else host for one, host in hosts.items()}
