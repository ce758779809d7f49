"""The evaluation protocol: which students are trained on what, how they play, and how returns are summarised."""

from .algorithm_benchmark import run_algorithms
from .algorithms import ALGORITHMS
from .arms import Arm, BenchmarkConfig, SmallSet, standard_arms
from .benchmark import run_benchmark
from .players import Player, Policy, StudentPolicy
from .results import ArmResult, Results
from .statistics import Summary, difference_interval, summarise

__all__ = [
    "ALGORITHMS",
    "Arm",
    "ArmResult",
    "BenchmarkConfig",
    "Player",
    "Policy",
    "Results",
    "SmallSet",
    "StudentPolicy",
    "Summary",
    "difference_interval",
    "run_algorithms",
    "run_benchmark",
    "standard_arms",
    "summarise",
]
