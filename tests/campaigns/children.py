"""Runs functions in processes of their own, which are forked with everything imported, limited, timed and killed."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
import pickle
import pkgutil
import resource
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from d3rlpy_distill.errors import DistillError

__all__ = ["Ended", "Said", "Try", "command", "preload", "refusal", "run", "run_all", "vast"]

QUIET = {"OMP_NUM_THREADS": "1"}


@dataclasses.dataclass(frozen=True)
class Try:
    """One function to call.

    Args:
        name: What it tries.
        function: Of a module.
        args: Its arguments.
        seconds: A process that takes longer hangs.
        limits: ``(kind, bytes)`` for ``resource.setrlimit``.
        kill: Kill the process after so many seconds.
    """

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...] = ()
    seconds: float = 120.0
    limits: tuple[tuple[int, int], ...] = ()
    kill: float | None = None


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a process ended.

    Args:
        kind: ``"value"``, ``"refused"`` by an error of ours, ``"traceback"``, ``"hang"``, ``"crash"`` or ``"killed"``.
        value: What the function returned.
        text: The error's message, or the traceback.
        seconds: That it took.
        peak: Bytes of memory that it held at most, those included that it was forked with.
    """

    kind: str
    value: Any = None
    text: str = ""
    seconds: float = 0.0
    peak: int = 0


@dataclasses.dataclass(frozen=True)
class Said:
    """What a command did: exit status, stdout, stderr."""

    code: int
    out: str
    err: str


@dataclasses.dataclass
class _Running:
    attempt: Try
    pid: int
    start: float
    data: bytearray


def preload() -> None:
    """Imports all that commands import while they run, so that a process begins with it."""
    for package in ("d3rlpy_distill", "procgen_datasets", "rld_distill"):
        root = importlib.import_module(package)
        for module in pkgutil.walk_packages(root.__path__, f"{package}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    for name in ("torch._dynamo", "stable_baselines3", "matplotlib.figure", "hostile_archives"):
        importlib.import_module(name)


def run(attempt: Try) -> Ended:
    """Runs one."""
    return next(iter(run_all([attempt], 1)))[1]


def run_all(attempts: Iterable[Try], workers: int) -> Iterator[tuple[Try, Ended]]:
    """Yields each with how it ended, as they end; ``workers`` run at a time."""
    waiting, selector = iter(attempts), selectors.DefaultSelector()
    more = True
    try:
        while more or selector.get_map():
            while more and len(selector.get_map()) < workers:
                attempt = next(waiting, None)
                if attempt is None:
                    more = False
                else:
                    reader, running = _start(attempt)
                    selector.register(reader, selectors.EVENT_READ, running)
            yield from _wait(selector)
    finally:
        for key in list(selector.get_map().values()):
            _kill(key.data.pid)
            os.waitpid(key.data.pid, 0)
            os.close(key.fd)
        selector.close()


def _wait(selector: selectors.BaseSelector) -> Iterator[tuple[Try, Ended]]:
    now = time.monotonic()
    due = [now + 1.0]
    for key in selector.get_map().values():
        due.append(key.data.start + min(key.data.attempt.seconds, key.data.attempt.kill or 1e9))
    for key, _ in selector.select(max(0.0, min(due) - now)):
        piece = os.read(key.fd, 1 << 16)
        key.data.data += piece
        if not piece:
            selector.unregister(key.fd)
            os.close(key.fd)
            yield key.data.attempt, _end(key.data, None)
    now = time.monotonic()
    for key in list(selector.get_map().values()):
        running: _Running = key.data
        kill = running.attempt.kill
        over = "hang" if now - running.start >= running.attempt.seconds else None
        if kill is not None and now - running.start >= kill:
            over = "killed"
        if over:
            selector.unregister(key.fd)
            os.close(key.fd)
            yield running.attempt, _end(running, over)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _end(running: _Running, over: str | None) -> Ended:
    if over == "killed":  # as a user or the system would: this process, not those that it started
        os.kill(running.pid, signal.SIGKILL)
    elif over:
        _kill(running.pid)
    _, status, usage = os.wait4(running.pid, 0)
    seconds, peak = time.monotonic() - running.start, usage.ru_maxrss * 1024
    if over:
        return Ended(over, seconds=seconds, peak=peak)
    code = os.waitstatus_to_exitcode(status)
    if code or not running.data:
        return Ended("crash", text=f"exit status {code}", seconds=seconds, peak=peak)
    kind, value, text = pickle.loads(bytes(running.data))  # our own child's
    return Ended(kind, value, text, seconds, peak)


def _start(attempt: Try) -> tuple[int, _Running]:
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.close(writer)
        return reader, _Running(attempt, pid, time.monotonic(), bytearray())
    try:
        os.setsid()
        os.close(reader)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        for kind, value in attempt.limits:
            resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))
        answer = pickle.dumps(_call(attempt))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        while answer:
            answer = answer[os.write(writer, answer) :]
    except BaseException:
        os._exit(99)
    os._exit(0)  # without the parent's exit handlers


def _call(attempt: Try) -> tuple[str, Any, str]:
    try:
        return "value", attempt.function(*attempt.args), ""
    except DistillError as error:
        return "refused", type(error).__name__, str(error)
    except BaseException as error:
        return "traceback", f"{type(error).__name__}", "".join(traceback.format_exception(error))


def refusal(text: str, file: Path) -> str | None:
    """What is wrong with an error's message, which names the file or one beside it in one line; None if nothing is."""
    if not text or "\n" in text or not text.isprintable():
        return f"not one line: {text[:300]!r}"
    if str(file.parent) not in text and file.name not in text:
        return f"names no file: {text[:300]}"
    return None


def command(*arguments: object) -> Said:
    """Runs ``rld-distill`` in this process, as its script does, but for the interpreter's start."""
    from rld_distill.main import entry_point

    words = [str(argument) for argument in arguments]
    sys.argv = ["rld-distill", *words]
    streams = [os.memfd_create(name) for name in ("out", "err")]
    kept = [os.dup(descriptor) for descriptor in (1, 2)]
    for descriptor, stream in zip((1, 2), streams, strict=True):
        os.dup2(stream, descriptor)
    sys.stdout, sys.stderr = (open(d, "w", closefd=False) for d in (1, 2))  # noqa: SIM115
    code = 0
    try:
        entry_point()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        for descriptor, old in zip((1, 2), kept, strict=True):
            os.dup2(old, descriptor)
    out, err = (os.pread(stream, 1 << 20, 0).decode(errors="replace") for stream in streams)
    return Said(code, out, err)


def vast() -> int:
    """The address space of this process now, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
