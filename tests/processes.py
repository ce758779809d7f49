"""The command line in processes of its own: Ctrl-C, kills, two at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["ctrl_c", "finish", "start", "wait_for"]

SECONDS = 120


def start(*args: object) -> subprocess.Popen[str]:
    """Starts a command in a process group of its own, as a shell does."""
    return subprocess.Popen(
        [sys.executable, "-m", "rld_distill", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a shell's background jobs ignore Ctrl-C, and so would what they start
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        env={**os.environ},
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Waits for the end: exit status, stdout, stderr."""
    try:
        out, error = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, out, error


def ctrl_c(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Presses Ctrl-C once, as a terminal does: every process of the group gets it; none is left."""
    os.killpg(process.pid, signal.SIGINT)
    ended = finish(process)
    end = time.monotonic() + 2
    while left := [one for one in Path("/proc").glob("[0-9]*/stat") if _group(one) == process.pid]:
        assert time.monotonic() < end, left  # one that has closed its files may not be gone yet
        time.sleep(0.01)
    return ended


def _group(stat: Path) -> int | None:
    try:
        state, _, group = stat.read_text().rpartition(")")[2].split()[:3]
    except OSError:  # it has just ended
        return None
    return None if state == "Z" else int(group)


def wait_for(what: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Waits until something is so; the process must not end before."""
    end = time.monotonic() + SECONDS
    while not what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
