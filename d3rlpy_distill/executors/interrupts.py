"""Ctrl-C, which a terminal sends to every process and the first one alone decides about."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = ["interrupts_afterwards", "without_interrupts"]


@contextlib.contextmanager
def without_interrupts() -> Iterator[None]:
    """A process that begins in here never gets Ctrl-C, not even before its first line; here it comes afterwards."""
    with interrupts_afterwards():
        if not hasattr(signal, "pthread_sigmask"):
            yield
            return
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def interrupts_afterwards() -> Iterator[None]:
    """Ctrl-C is noted in here and handled afterwards.

    A mask is not enough: another thread that masks nothing takes the signal, and Python handles it in the main one.
    """
    handler = signal.getsignal(signal.SIGINT)
    # one that is no function ignores it, or ends the process; other threads are never interrupted
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[FrameType | None] = []
    signal.signal(signal.SIGINT, lambda number, frame: pressed.append(frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if pressed:
            handler(signal.SIGINT, pressed[0])
