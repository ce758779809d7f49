"""Tasks: what policies are played on. ``procgen/GAME`` is a plug-in; every gymnasium id is ``gym/ID``."""

from .base import (
    CHECKPOINT,
    CollectSettings,
    LoadedPolicy,
    Mode,
    Shot,
    Task,
    TrainedPolicy,
    TrainSettings,
    make_task,
)

__all__ = [
    "CHECKPOINT",
    "CollectSettings",
    "LoadedPolicy",
    "Mode",
    "Shot",
    "Task",
    "TrainSettings",
    "TrainedPolicy",
    "make_task",
]
