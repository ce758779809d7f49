"""Real subsets of a dataset: the baselines that a synthetic one has to beat."""

from .balanced import BalancedSelector
from .geometric import HerdingSelector, KCenterSelector, pooled_pixels
from .percentile import PercentileSelector
from .protocol import Selector
from .random_subset import RandomSelector

__all__ = [
    "BalancedSelector",
    "HerdingSelector",
    "KCenterSelector",
    "PercentileSelector",
    "RandomSelector",
    "Selector",
    "pooled_pixels",
]
