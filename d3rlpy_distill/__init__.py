"""Dataset distillation for offline RL, as a d3rlpy plugin."""

from importlib.metadata import version

from .catalogue import register_coreset, register_format, register_method, register_student, register_task
from .data import OfflineDataset, TransitionArrays, one_step_buffer
from .errors import DistillError
from .evaluation import Protocol, Results
from .learners.convergence import ConvergenceConfig
from .methods import Coreset, Distilled, Method, Run, option
from .methods.gradient import GradientMatchingConfig
from .methods.hard_labels import HardLabelsConfig
from .methods.kernel import KernelRegressionConfig
from .methods.kernel_actions import ActionKernelConfig
from .methods.labels import LabelDistillationConfig
from .methods.unrolled import UnrolledMatchingConfig
from .methods.unrolled_labels import UnrolledLabelsConfig
from .methods.views import ViewLabelsConfig
from .pipeline import distill, evaluate, load
from .students import PAPER_FULL, PAPER_SMALL, Budget, CloningStudent, SoftBC, SoftBCConfig, Student, Teachers
from .students.impala_encoder import ImpalaEncoderFactory
from .students.paper_encoder import PaperEncoderFactory
from .sweeping import sweep
from .tasks import Task, make_task
from .tasks.gymnasium import GymnasiumTask

__version__ = version("d3rlpy-distill")

__all__ = [
    "PAPER_FULL",
    "PAPER_SMALL",
    "ActionKernelConfig",
    "Budget",
    "CloningStudent",
    "ConvergenceConfig",
    "Coreset",
    "DistillError",
    "Distilled",
    "GradientMatchingConfig",
    "GymnasiumTask",
    "HardLabelsConfig",
    "ImpalaEncoderFactory",
    "KernelRegressionConfig",
    "LabelDistillationConfig",
    "Method",
    "OfflineDataset",
    "PaperEncoderFactory",
    "Protocol",
    "Results",
    "Run",
    "SoftBC",
    "SoftBCConfig",
    "Student",
    "Task",
    "Teachers",
    "TransitionArrays",
    "UnrolledLabelsConfig",
    "UnrolledMatchingConfig",
    "ViewLabelsConfig",
    "__version__",
    "distill",
    "evaluate",
    "load",
    "make_task",
    "one_step_buffer",
    "option",
    "register_coreset",
    "register_format",
    "register_method",
    "register_student",
    "register_task",
    "sweep",
]
