"""Distillation by gradient matching (arXiv 2407.20299, eq. 2)."""

from .config import GradientMatchingConfig
from .distance import layerwise_cosine, squared_error
from .distiller import Distiller
from .family import DistillationConfig
from .labels import LabelDistillationConfig
from .learners import LEARNERS, has_images, learner_for
from .presets import (
    DEFAULT_STEPS,
    PAPER_STEPS,
    TEACHERS,
    VECTOR_STEPS,
    default_matching,
    paper_matching,
    vector_matching,
)
from .unrolled import UnrolledMatchingConfig

__all__ = [
    "DEFAULT_STEPS",
    "LEARNERS",
    "PAPER_STEPS",
    "TEACHERS",
    "VECTOR_STEPS",
    "DistillationConfig",
    "Distiller",
    "GradientMatchingConfig",
    "LabelDistillationConfig",
    "UnrolledMatchingConfig",
    "default_matching",
    "has_images",
    "layerwise_cosine",
    "learner_for",
    "paper_matching",
    "squared_error",
    "vector_matching",
]
