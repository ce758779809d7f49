"""Dataset distillation for offline RL, as a d3rlpy plugin."""

from importlib.metadata import version

from .convergence import ConvergenceConfig, train_to_convergence
from .encoders import PaperEncoderFactory
from .errors import CheckpointError, DistillError, UnsuitableDatasetError
from .matching import (
    DistillationConfig,
    Distiller,
    GradientMatchingConfig,
    LabelDistillationConfig,
    UnrolledMatchingConfig,
    default_matching,
    learner_for,
    paper_matching,
    vector_matching,
)
from .presets import PAPER_BC, PAPER_SYNTHETIC, Budget, paper_student
from .selection import (
    BalancedSelector,
    HerdingSelector,
    KCenterSelector,
    PercentileSelector,
    PriorSelector,
    RandomSelector,
    Selector,
)
from .teachers import Teachers
from .training import train_student
from .transitions import TransitionArrays, one_step_buffer

__version__ = version("d3rlpy-distill")

__all__ = [
    "PAPER_BC",
    "PAPER_SYNTHETIC",
    "BalancedSelector",
    "Budget",
    "CheckpointError",
    "ConvergenceConfig",
    "DistillError",
    "DistillationConfig",
    "Distiller",
    "GradientMatchingConfig",
    "HerdingSelector",
    "KCenterSelector",
    "LabelDistillationConfig",
    "PaperEncoderFactory",
    "PercentileSelector",
    "PriorSelector",
    "RandomSelector",
    "Selector",
    "Teachers",
    "TransitionArrays",
    "UnrolledMatchingConfig",
    "UnsuitableDatasetError",
    "__version__",
    "default_matching",
    "learner_for",
    "one_step_buffer",
    "paper_matching",
    "paper_student",
    "train_student",
    "train_to_convergence",
    "vector_matching",
]
