"""Baselines that a synthetic dataset has to beat, real subsets of a dataset most of them."""

from .balanced import BalancedSelector
from .geometric import HerdingSelector, KCenterSelector, pooled_pixels
from .percentile import PercentileSelector, best_episodes
from .prior import PriorSelector
from .protocol import Selector
from .random_subset import RandomSelector

__all__ = [
    "BalancedSelector",
    "HerdingSelector",
    "KCenterSelector",
    "PercentileSelector",
    "PriorSelector",
    "RandomSelector",
    "Selector",
    "best_episodes",
    "pooled_pixels",
]
