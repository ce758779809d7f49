"""Sweeps: datasets x methods x sizes x seeds, each cell one distillation and its evaluation."""

from .cell import SweepCell, load_sweep, save_sweep
from .run import Cell, Sweep, SweepConfig, SweepResults, plan_sweep, sweep

__all__ = [
    "Cell",
    "Sweep",
    "SweepCell",
    "SweepConfig",
    "SweepResults",
    "load_sweep",
    "plan_sweep",
    "save_sweep",
    "sweep",
]
