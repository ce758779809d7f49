"""Methods: dataset in, distilled dataset out. One file each, configuration and objective together."""

from ..options import option
from .base import Method, Run
from .coreset import Coreset
from .distilled import Distilled
from .learned import LearnedMethod
from .moving import MovingMethod, Objective

__all__ = ["Coreset", "Distilled", "LearnedMethod", "Method", "MovingMethod", "Objective", "Run", "option"]
