"""Distillation by gradient matching (arXiv 2407.20299, eq. 2)."""

from .config import GradientMatchingConfig
from .distance import layerwise_cosine, squared_error
from .distiller import GradientMatching
from .presets import DEFAULT_STEPS, PAPER_STEPS, default_matching, paper_matching

__all__ = [
    "DEFAULT_STEPS",
    "PAPER_STEPS",
    "GradientMatching",
    "GradientMatchingConfig",
    "default_matching",
    "layerwise_cosine",
    "paper_matching",
    "squared_error",
]
