"""The evaluation protocol: which students are trained on what, how they play, and how returns are summarised."""

from .arms import Arm, ArmKind, compared_arms, is_reserved, standard_arms
from .protocol import PartialBudget, Protocol
from .results import ArmResult, Results
from .run import Place, PolicyArm, run_arms, student_seeds
from .stage import Stage
from .statistics import Summary, difference_interval, summarise
from .store import EvaluationStore
from .tuning import GRIDS, Trial, Tuned, Tuning, grid_of

__all__ = [
    "GRIDS",
    "Arm",
    "ArmKind",
    "ArmResult",
    "EvaluationStore",
    "PartialBudget",
    "Place",
    "PolicyArm",
    "Protocol",
    "Results",
    "Stage",
    "Summary",
    "Trial",
    "Tuned",
    "Tuning",
    "compared_arms",
    "difference_interval",
    "grid_of",
    "is_reserved",
    "run_arms",
    "standard_arms",
    "student_seeds",
    "summarise",
]
