"""Tasks: what policies are played on. ``procgen/GAME`` is a plug-in; every gymnasium id is ``gym/ID``."""

from .base import (
    CHECKPOINT,
    PARTS,
    CollectSettings,
    LoadedPolicy,
    Mode,
    Shot,
    Task,
    TrainedPolicy,
    TrainSettings,
    check_run,
    make_task,
)

__all__ = [
    "CHECKPOINT",
    "PARTS",
    "CollectSettings",
    "LoadedPolicy",
    "Mode",
    "Shot",
    "Task",
    "TrainSettings",
    "TrainedPolicy",
    "check_run",
    "make_task",
]
