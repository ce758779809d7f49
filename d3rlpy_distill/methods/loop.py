"""The steps of a method, with exact resumption from a checkpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from ..threads import with_threads
from .base import Run
from .checkpoint import load_checkpoint, save_checkpoint

__all__ = ["Process", "run_steps"]


class Process(Protocol):
    """What a method does, one step after the other."""

    def step(self) -> float:
        """Takes a step and returns its loss."""
        ...

    def state(self) -> dict[str, Any]:
        """Returns tensors and numbers from which :meth:`load_state` goes on exactly."""
        ...

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        ...


def run_steps(
    process: Process, n_steps: int, rng: np.random.Generator, run: Run, identity: Mapping[str, Any]
) -> None:
    """Takes the steps, those before a checkpoint excepted.

    Args:
        process: What steps; draws from ``rng`` alone.
        n_steps: How many.
        rng: Its state belongs to the checkpoint.
        run: Checkpoint and progress.
        identity: What the checkpoint has to agree with (JSON values), beside the number of steps.

    Raises:
        CheckpointError: If the checkpoint belongs to something else, another ``n_steps`` included.
    """
    known = {**identity, "n_steps": n_steps}
    done, threads = 0, list[int]()
    if run.checkpoint is not None and os.path.lexists(run.checkpoint):
        state, threads = load_checkpoint(run.checkpoint, known)
        done = int(state["step"])
        process.load_state(state["process"])
        rng.bit_generator.state = json.loads(state["rng"])
    threads = with_threads(threads)
    for step in range(done + 1, n_steps + 1):
        loss = process.step()
        if run.on_step is not None:
            run.on_step(step, n_steps, loss)
        if run.checkpoint is not None and step % run.checkpoint_interval == 0 and step < n_steps:
            state = {"step": step, "process": process.state(), "rng": json.dumps(rng.bit_generator.state)}
            save_checkpoint(run.checkpoint, known, state, threads)
    if run.checkpoint is not None:
        run.checkpoint.unlink(missing_ok=True)
