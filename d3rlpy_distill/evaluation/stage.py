"""A task and a dataset as units of work read them."""

from __future__ import annotations

import dataclasses
import functools

from ..data import OfflineDataset
from ..executors import Pool, Shared
from ..tasks.base import Task

__all__ = ["Stage"]


@dataclasses.dataclass(frozen=True, eq=False)
class Stage:
    """A task and a dataset, each of which is sent to a node once, when the first unit needs it.

    Args:
        pool: Where the units run.
        task: What is played.
        dataset: The real data.
    """

    pool: Pool
    task: Task
    dataset: OfflineDataset

    @functools.cached_property
    def shared_task(self) -> Shared[Task]:
        """The task, for the arguments of units; a worker keeps its environments."""
        return self.pool.share(self.task)

    @functools.cached_property
    def shared_dataset(self) -> Shared[OfflineDataset]:
        """The dataset, for the arguments of units."""
        _ = self.dataset.transitions  # copied once, here, and not by every worker
        return self.pool.share(self.dataset)
