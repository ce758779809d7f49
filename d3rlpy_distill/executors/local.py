"""Units of work on this machine, several at once, each on its share of the cores."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from typing import TypeVar

import torch

from ..cores import available_cores

__all__ = ["in_processes", "in_threads"]

A = TypeVar("A")
R = TypeVar("R")


def in_threads(function: Callable[[A], R], units: Sequence[A], jobs: int) -> list[R]:
    """Returns the function of each unit; ``jobs`` of them run at once, each on one core.

    That beats running one after the other on all cores, which wait for each other at every operation. With one job
    the units run one after the other, on all cores.

    Args:
        function: Must not draw from global random generators.
        units: What to call it with.
        jobs: How many at once.
    """
    if jobs == 1 or len(units) < 2:
        return [function(unit) for unit in units]
    with ThreadPoolExecutor(min(jobs, len(units)), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        futures = [pool.submit(function, unit) for unit in units]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def in_processes(function: Callable[[A], R], units: Sequence[A], jobs: int) -> Iterator[tuple[A, R | Exception]]:
    """Yields each unit as it ends, with what the function returned or raised; ``jobs`` processes at a time.

    Args:
        function: Of a module, because each process imports it anew.
        units: What to call it with.
        jobs: Processes; each has its share of the cores as torch threads.
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
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=torch.set_num_threads, initargs=(threads,))
    try:
        waiting: dict[Future[R], A] = {pool.submit(function, unit): unit for unit in units}
        while waiting:
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                error = future.exception()
                if error is not None and not isinstance(error, Exception):
                    raise error
                yield waiting.pop(future), error if error is not None else future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
