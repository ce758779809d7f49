"""A distillation as a unit of work."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..data import OfflineDataset
from ..executors import Tell
from ..files import claim_of
from ..threads import with_threads
from .base import Method, Run
from .checkpoint import checkpoint_threads
from .distilled import Distilled

__all__ = ["Made", "checkpoint_of", "distil_here", "distil_unit"]


@dataclasses.dataclass(frozen=True, eq=False)
class Made:
    """What a distillation made.

    Args:
        distilled: The set, without its provenance.
        threads: Numbers of torch threads that made it, one after the other where it was interrupted.
        seconds: That it took, this time.
    """

    distilled: Distilled
    threads: Sequence[int]
    seconds: float


def distil_here(
    dataset: OfflineDataset,
    method: Method,
    seed: int,
    device: str,
    checkpoint: Path | None,
    on_step: Callable[[int, int, float], None] | None,
) -> Made:
    """Distils a dataset; goes on from the checkpoint if there is one."""
    start = time.perf_counter()
    threads = with_threads([] if checkpoint is None else checkpoint_threads(checkpoint))
    distilled = method.distill(dataset, np.random.default_rng(seed), Run(device, checkpoint, on_step=on_step))
    return Made(distilled, threads, time.perf_counter() - start)


def distil_unit(
    tell: Tell, dataset: OfflineDataset, method: Method, seed: int, device: str, path: Path, claim: bytes
) -> Made:
    """Distils a dataset, perhaps on another machine, for a process that holds the output.

    Args:
        tell: Told of each step.
        dataset: What to distil.
        method: As it is configured.
        seed: Fixes everything random.
        device: torch device.
        path: The output, which is not written here. Where this machine sees it, its checkpoint is.
        claim: What the output's claim says where it is held: how a machine knows whether it sees the same directory.
    """
    seen = claim_of(path) == claim
    checkpoint = checkpoint_of(path) if seen else None
    return distil_here(dataset, method, seed, device, checkpoint, lambda step, total, loss: tell(step, total))


def checkpoint_of(path: Path) -> Path:
    """Returns the file of a distillation's checkpoint, which is beside its output."""
    return path.with_name(path.name + ".checkpoint")
