"""A policy that does not look."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch


class ConstantPolicy:
    """Draws from the same probabilities, float ``(A,)``, whatever it sees."""

    def __init__(self, probabilities: npt.NDArray[np.float64]) -> None:
        self._logits = torch.from_numpy(np.log(np.maximum(probabilities, 1e-9))).float()

    def logits(self, observations: torch.Tensor) -> torch.Tensor:
        return self._logits.expand(len(observations), len(self._logits))
