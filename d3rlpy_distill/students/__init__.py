"""Students: networks with their learners and budgets, one file each; and the teachers of soft labels."""

from .base import PAPER_FULL, PAPER_SMALL, Budget, Student
from .cloning import CloningStudent
from .soft_bc import SoftBC, SoftBCConfig
from .teachers import Teachers

__all__ = [
    "PAPER_FULL",
    "PAPER_SMALL",
    "Budget",
    "CloningStudent",
    "SoftBC",
    "SoftBCConfig",
    "Student",
    "Teachers",
]
