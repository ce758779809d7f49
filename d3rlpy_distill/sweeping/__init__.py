"""Sweeps: datasets x methods x sizes x seeds, each cell one distillation and its evaluation."""

from .cell import SweepCell, load_sweep, save_sweep
from .plan import Cell, SweepConfig
from .run import Sweep, SweepResults, plan_sweep, sweep
from .study import Study, read_study

__all__ = [
    "Cell",
    "Study",
    "Sweep",
    "SweepCell",
    "SweepConfig",
    "SweepResults",
    "load_sweep",
    "plan_sweep",
    "read_study",
    "save_sweep",
    "sweep",
]
