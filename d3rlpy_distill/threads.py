"""torch's number of threads, on which sums of floating-point numbers depend in their last bits."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

__all__ = ["ThreadsWarning", "warn_of_threads", "with_threads"]


class ThreadsWarning(UserWarning):
    """A run goes on with another number of threads than it began with."""


def with_threads(threads: Sequence[int]) -> list[int]:
    """Returns the numbers of threads of a run, in their order, this process's among them."""
    now = torch.get_num_threads()
    return list(threads) if threads and threads[-1] == now else [*threads, now]


def warn_of_threads(checkpoint: Path, threads: Sequence[int]) -> None:
    """Warns if a checkpoint was made with another number of threads than this process has.

    Args:
        checkpoint: The file, for the message.
        threads: The numbers that made it, the last one last; none if nobody knows.
    """
    now = torch.get_num_threads()
    if threads and threads[-1] != now:
        warnings.warn(
            f"{checkpoint} was made with {threads[-1]} threads, and this process has {now}: the result will differ "
            f"from that of a run that was not interrupted; set OMP_NUM_THREADS={threads[-1]} for the same one.",
            ThreadsWarning,
            stacklevel=2,
        )
