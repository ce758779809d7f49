"""A coreset in one file: the transitions with the highest return-to-go.

    rld-distill distill data/starpilot.h5 --plugin examples/add_a_coreset.py --method promising --out promising.h5
    rld-distill evaluate data/starpilot.h5 data/starpilot-150.h5 --plugin examples/add_a_coreset.py \
        --coresets promising --arms random-150 --out results/promising
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from d3rlpy_distill import Coreset, TransitionArrays, register_coreset


@register_coreset("promising")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Promising(Coreset):
    """The transitions from which the behaviour policy still collected most."""

    def choose(self, data: TransitionArrays, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Returns their indices, the best first; equal ones in the dataset's order."""
        return np.argsort(-data.returns_to_go, kind="stable")[: self.n_samples]
