"""How many cores a process, or a unit of work in it, may use."""

from __future__ import annotations

import contextlib
import contextvars
import os
from collections.abc import Iterator

import torch

__all__ = ["available_cores", "on_cores"]

_share: contextvars.ContextVar[int | None] = contextvars.ContextVar("share", default=None)


def available_cores() -> int:
    """Returns the cores that this process may use: fewer than the machine's under ``taskset`` or :func:`on_cores`."""
    share = _share.get()
    if share is not None:
        return share
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def on_cores(count: int) -> Iterator[None]:
    """What runs in here takes so many cores and no more, with as many torch threads.

    torch adds numbers up in another order with another number of threads, so last bits depend on it: a unit of work
    that is always given the same number gives the same bits wherever it runs.
    """
    threads, token = torch.get_num_threads(), _share.set(count)
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        _share.reset(token)
