"""Units of work for other processes, which import them from here."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from d3rlpy_distill.cores import available_cores
from d3rlpy_distill.errors import DistillError
from d3rlpy_distill.executors import Tell


class Unsendable(Exception):
    """Cannot be made again from its message alone."""

    def __init__(self, number: int, name: str) -> None:
        super().__init__(f"{name} {number}")


def work(tell: Tell, what: str, value: Any) -> object:
    """Does what its first argument says with the second."""
    if what == "square":
        return value**2
    if what == "refuse":
        raise DistillError(f"not {value}")
    if what == "raise":
        raise Unsendable(3, value)
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "die once":
        if not Path(value).exists():
            Path(value).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return "lived"
    if what == "wait":  # and say who waits, and that it was told to stop
        Path(value).write_text(str(os.getpid()))
        try:
            time.sleep(600)
        finally:
            Path(f"{value}.cleaned").touch()
    if what == "cores":
        return available_cores(), torch.get_num_threads()
    if what == "masked":
        return {signal.Signals(one) for one in signal.pthread_sigmask(signal.SIG_BLOCK, ())}
    if what == "sum":  # and try to change it for others
        total = int(value["array"].sum())
        if value["array"].flags.writeable:
            value["array"][:] = 0
        return total, os.getpid()
    if what == "tell":
        for step in range(value):
            time.sleep(0.3)
            tell(step + 1, value)
    return None


def patient_square(tell: Tell, directory: Path, number: int) -> tuple[int, float]:
    """Says on which node it has begun, waits for the file ``go``, and returns numbers that are its own."""
    import ray

    (directory / f"{number}-{time.time_ns()}").write_text(ray.get_runtime_context().get_node_id())
    end = time.monotonic() + 60
    while not (directory / "go").exists() and time.monotonic() < end:
        time.sleep(0.05)
    return number**2, float(np.random.default_rng(number).normal(size=1000).sum())
