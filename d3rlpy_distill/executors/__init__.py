"""Where units of work run: here, in processes of this machine, on a Ray cluster; and what waits for what."""

from .base import Executor, Pool, Shared, Tell, Unit
from .board import Board, Progress
from .flow import Branch, Flow, run_flow
from .local import HERE, LocalExecutor

__all__ = [
    "HERE",
    "Board",
    "Branch",
    "Executor",
    "Flow",
    "LocalExecutor",
    "Pool",
    "Progress",
    "Shared",
    "Tell",
    "Unit",
    "run_flow",
]
