"""Policies that act on Procgen frames: IMPALA experts and uniformly random play."""

from .expert import Expert, bundled_experts, load_expert
from .impala import ARCHITECTURES, ImpalaEncoder, ImpalaEncoderFactory
from .random_policy import RandomPolicy

__all__ = [
    "ARCHITECTURES",
    "Expert",
    "ImpalaEncoder",
    "ImpalaEncoderFactory",
    "RandomPolicy",
    "bundled_experts",
    "load_expert",
]
