"""Units of work on this machine: several processes, each of which runs one unit after the other."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import multiprocessing
import multiprocessing.connection
import multiprocessing.resource_tracker
import os
import pickle
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

import structlog

from ..cores import available_cores
from ..errors import DistillError, SettingsError
from ..registry import load_plugin, loaded_plugins
from .base import RETRIES, Ended, Executor, Pool, Shared, Tell, Unit, Watch, died, do, portable
from .here import HerePool
from .interrupts import interrupts_afterwards, without_interrupts
from .mapped import Mapped

__all__ = ["HERE", "LocalExecutor", "serve"]

T = TypeVar("T")

PATIENCE = 10.0  # seconds that processes have to remove their unfinished files
TOLD_EVERY = 0.2  # seconds between two words on one unit
BEGIN = """
import contextlib, io
with contextlib.redirect_stderr(io.StringIO()):  # d3rlpy imports gym, which prints an advertisement
    from d3rlpy_distill.executors.local import serve
serve(*arguments)
"""
"""What a worker runs."""


@dataclasses.dataclass(frozen=True)
class LocalExecutor(Executor):
    """Processes of this machine, as many as there are cores; with one job, this process.

    A worker imports this package and keeps running; datasets lie once in the machine's memory. When a worker is killed,
    for example for its memory, another takes its place and its unit. Workers end with this process, however it ends.

    Args:
        jobs: Units at a time. 1 runs them here, one after the other, without another process.
        address: Refused: there is none.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.address is not None:
            raise SettingsError(f"address {self.address!r}: the executor 'local' has none; give --executor ray.")

    @contextlib.contextmanager
    def open(self, watch: Watch) -> Iterator[Pool]:
        """See :meth:`~.base.Executor.open`."""
        jobs = available_cores() if self.jobs is None else self.jobs
        if jobs == 1:
            yield HerePool(watch)
            return
        with tempfile.TemporaryDirectory(prefix="d3rlpy-distill-") as directory:
            pool = _ProcessPool(watch, jobs, Path(directory))
            try:
                yield pool
            finally:
                pool.close()


HERE = LocalExecutor(jobs=1)
"""This process, one unit after the other."""


@dataclasses.dataclass(eq=False)
class _Worker:
    process: BaseProcess
    connection: Connection
    unit: Unit[Any] | None = None
    begun: bool = False


class _ProcessPool:
    def __init__(self, watch: Watch, jobs: int, directory: Path) -> None:
        self._watch, self._jobs, self._directory = watch, jobs, directory
        self._context = multiprocessing.get_context("spawn")  # Procgen's threads do not survive a fork
        with interrupts_afterwards():  # else it starts with the first process, and lets Ctrl-C through to that
            multiprocessing.resource_tracker.ensure_running()
        self._workers: list[_Worker] = []
        self._waiting: deque[Unit[Any]] = deque()
        self._ended: deque[tuple[Unit[Any], Ended[Any]]] = deque()
        self._deaths: dict[Unit[Any], int] = {}

    def share(self, value: T) -> Shared[T]:
        """See :class:`~.base.Pool`."""
        try:
            return Mapped(value, self._directory)
        except OSError:
            raise
        except Exception as error:  # anybody's class may raise anything
            raise _unsendable(type(value).__name__, error) from error

    def room(self) -> int:
        """See :class:`~.base.Pool`."""
        busy = sum(worker.unit is not None for worker in self._workers)
        return self._jobs - busy - len(self._waiting) - len(self._ended)

    def submit(self, unit: Unit[Any]) -> None:
        """See :class:`~.base.Pool`."""
        self._waiting.append(unit)
        self._hand_out()

    def wait(self) -> tuple[Unit[Any], Ended[Any]]:
        """See :class:`~.base.Pool`."""
        while not self._ended:
            self._hand_out()
            by_connection = {worker.connection: worker for worker in self._workers}
            for ready in multiprocessing.connection.wait(list(by_connection)):
                self._read(by_connection[ready])  # type: ignore[index]
        return self._ended.popleft()

    def _hand_out(self) -> None:
        while self._waiting:
            worker = next((one for one in self._workers if one.unit is None), None)
            if worker is None and len(self._workers) < self._jobs:
                worker = self._start()
            if worker is None:
                return
            unit = self._waiting.popleft()
            try:
                data = pickle.dumps((unit.name, unit.function, unit.arguments, unit.cores))
            except Exception as error:
                self._ended.append((unit, Ended(error=_unsendable(unit.name, error))))
                continue
            worker.unit = unit
            self._watch.begun(unit, "")
            with contextlib.suppress(OSError):  # it has just died, which the next reading shows
                worker.connection.send_bytes(data)

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process: BaseProcess = self._context.Process(
            target=exec, args=(BEGIN, {"arguments": (theirs, loaded_plugins(), self._directory)}), daemon=True
        )
        with without_interrupts():
            process.start()
            worker = _Worker(process, ours)
            self._workers.append(worker)
        theirs.close()  # else the end of the process would not be seen at ours
        return worker

    def _read(self, worker: _Worker) -> None:
        unit = worker.unit
        try:
            message = pickle.loads(worker.connection.recv_bytes())
        except (EOFError, OSError):
            self._bury(worker)
            return
        if message is None:
            worker.begun = True
            return
        assert unit is not None
        if isinstance(message, Ended):
            worker.unit = None
            self._ended.append((unit, message))
        else:
            self._watch.told(unit, *message)

    def _bury(self, worker: _Worker) -> None:
        """A worker has died; its unit is run again, in another one."""
        worker.connection.close()
        worker.process.join()
        self._workers.remove(worker)
        unit = worker.unit
        if unit is None:  # it had none yet; whoever kills them all the time is told in the end
            return
        self._deaths[unit] = self._deaths.get(unit, 0) + 1
        if self._deaths[unit] > RETRIES:
            how = f"status {worker.process.exitcode}"
            self._ended.append((unit, died(unit, how) if worker.begun else _unable(unit, how)))
        else:
            self._waiting.appendleft(unit)

    def close(self) -> None:
        """Ends all workers."""
        for worker in self._workers:
            worker.process.terminate()
        end = time.monotonic() + PATIENCE
        try:
            for worker in self._workers:
                worker.process.join(max(0.0, end - time.monotonic()))
        finally:  # Ctrl-C once more
            for worker in self._workers:
                worker.process.kill()


def _unable(unit: Unit[Any], how: str) -> Ended[Any]:
    return Ended(
        error=DistillError(
            f"{unit.name}: no process could be started ({how}): free some memory; a script that starts processes has "
            "to do its work under 'if __name__ == \"__main__\":'."
        )
    )


def _unsendable(what: str, error: Exception) -> DistillError:
    return DistillError(
        f"{what} cannot be sent to another process ({type(error).__name__}: {error}): run it here, with one job and "
        "the executor local, or let its class say how it is pickled."
    )


def serve(connection: Connection, plugins: Sequence[Path], directory: Path) -> None:
    """What a worker does: unit after unit, until it is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches all; the parent decides
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # so that unfinished files are removed
    threading.Thread(target=_end_with_parent, args=(directory,), daemon=True).start()
    os.dup2(2, 1)  # stdout is the parent's alone, for its results
    # what d3rlpy logs goes to stdout
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with contextlib.suppress(EOFError, OSError):  # the parent is gone
        connection.send_bytes(pickle.dumps(None))
        while True:
            data, told = connection.recv_bytes(), _teller(connection)
            try:
                for plugin in plugins:
                    load_plugin(plugin)
                unit: Unit[Any] = Unit(*pickle.loads(data))
                ended = do(unit, told)
                answer = pickle.dumps(ended if ended.error is None else Ended(error=portable(ended.error)))
            except Exception as error:  # of a plug-in, or of a class that cannot be pickled
                answer = pickle.dumps(Ended(error=portable(error)))
            connection.send_bytes(answer)


def _teller(connection: Connection) -> Tell:
    at = 0.0

    def tell(done: int, total: int) -> None:
        nonlocal at
        if done == total or time.monotonic() - at > TOLD_EVERY:
            at = time.monotonic()
            connection.send_bytes(pickle.dumps((done, total)))

    return tell


def _end_with_parent(directory: Path) -> None:
    """Ends this process when its parent is gone, who may be started again and then needs its files."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    shutil.rmtree(directory, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGTERM)
