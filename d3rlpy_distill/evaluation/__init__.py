"""The evaluation protocol: which students are trained on what, how they play, and how returns are summarised."""

from .algorithm_benchmark import run_algorithms
from .algorithms import ALGORITHMS
from .arms import TEACHERS_OF, Arm, BenchmarkConfig, SmallSet, is_reserved, standard_arms
from .benchmark import run_benchmark
from .players import Player, Policy, StudentPolicy
from .results import ArmResult, Results
from .statistics import Summary, difference_interval, summarise

__all__ = [
    "ALGORITHMS",
    "TEACHERS_OF",
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
    "is_reserved",
    "run_algorithms",
    "run_benchmark",
    "standard_arms",
    "summarise",
]
