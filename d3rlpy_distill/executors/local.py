"""Units of work on this machine, several at once, each on its share of the cores."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import structlog
import torch

from ..cores import available_cores
from ..errors import DistillError

__all__ = ["Stopped", "in_processes", "in_threads"]

A = TypeVar("A")
R = TypeVar("R")

PATIENCE = 10.0  # seconds that processes have to remove their unfinished files


class Stopped(Exception):
    """Raised in a thread that was told to stop."""


def in_threads(
    function: Callable[[A], R], units: Sequence[A], jobs: int, *, stop: threading.Event | None = None
) -> list[R]:
    """Returns the function of each unit; ``jobs`` of them run at once, each on one core.

    That beats running one after the other on all cores, which wait for each other at every operation. With one job
    the units run one after the other, on all cores. When one fails, or Ctrl-C is pressed, no further one begins.

    Args:
        function: Must not draw from global random generators.
        units: What to call it with.
        jobs: How many at once.
        stop: Set when one failed or Ctrl-C was pressed; those that run should look at it now and then, and raise
            :class:`Stopped`. Who called waits for them, for they may still write files.
    """
    if jobs == 1 or len(units) < 2:
        return [function(unit) for unit in units]
    with ThreadPoolExecutor(min(jobs, len(units)), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            with _without_interrupts():  # else the pool would forget a thread that has just begun
                futures = [pool.submit(function, unit) for unit in units]
            for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                future.result()
            return [future.result() for future in futures]
        except BaseException:
            if stop is not None:
                stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def in_processes(function: Callable[[A], R], units: Sequence[A], jobs: int) -> Iterator[tuple[A, R | Exception]]:
    """Yields each unit as it ends, with what the function returned or raised; ``jobs`` processes at a time.

    A unit has a process of its own, so one that is killed, for example for its memory, takes no other with it. With
    one job, units run in this process, one after the other. Whoever stops iterating, by Ctrl-C too, ends the processes
    that run, and no further one begins. They end, too, when this process is killed.

    Args:
        function: Of a module, because each process imports it anew.
        units: What to call it with; pickled.
        jobs: Processes at a time; each has its share of the cores as torch threads.
    """
    if jobs == 1:
        for unit in units:
            try:
                yield unit, function(unit)
            except Exception as error:  # told to the caller, who goes on with the others
                yield unit, error
        return
    threads = max(1, available_cores() // jobs)
    context = multiprocessing.get_context("spawn")  # Procgen's threads do not survive a fork
    waiting = deque(units)
    running: dict[Any, tuple[BaseProcess, A]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                unit = waiting.popleft()
                ours, theirs = context.Pipe(duplex=False)
                process: BaseProcess = context.Process(
                    target=_run, args=(theirs, function, unit, threads), daemon=True
                )
                with _without_interrupts():
                    process.start()
                theirs.close()  # else the end of the process would not be seen at ours
                running[ours] = process, unit
            for ready in multiprocessing.connection.wait(list(running)):
                outcome: R | Exception = _outcome(ready, running[ready][0])
                yield running.pop(ready)[1], outcome
    finally:
        for left, _ in running.values():
            left.terminate()
        end = time.monotonic() + PATIENCE
        try:
            for left, _ in running.values():
                left.join(max(0.0, end - time.monotonic()))
        finally:  # Ctrl-C once more
            for left, _ in running.values():
                left.kill()


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """A process that begins in here never gets Ctrl-C, not even before its first line; here it comes afterwards."""
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run(connection: Connection, function: Callable[[A], R], unit: A, threads: int) -> None:
    """What a process does: one unit."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches all; the parent decides
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # so that unfinished files are removed
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # what d3rlpy logs goes to stdout
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    torch.set_num_threads(threads)
    outcome: R | Exception
    try:
        outcome = function(unit)
    except Exception as error:  # told to the caller
        outcome = _portable(error)
    connection.send(outcome)


def _end_with_parent() -> None:
    """Ends this process when its parent is gone, who may be started again and then needs its files."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _outcome(connection: Any, process: BaseProcess) -> Any:
    """What a process sent, or how it ended without a word."""
    with connection:
        try:
            return connection.recv()
        except EOFError:
            process.join()
            return DistillError(f"its process ended without a result (status {process.exitcode}): out of memory?")


def _portable(error: Exception) -> Exception:
    """The error, or its text where it cannot be sent."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # anybody's class may raise anything
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
