"""Frames that an expert saw and what it would have done there: how well students imitate it, without playing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from d3rlpy_distill import OfflineDataset
from d3rlpy_distill.data.relabel import sharpen
from d3rlpy_distill.policies import DiscretePolicy

FRAMES = 2000
TEMPERATURES = np.geomspace(0.25, 8, 31)


@dataclasses.dataclass(frozen=True)
class ExpertFrames:
    """Observations ``(B, 3, 64, 64)``, and the expert's probabilities of the actions there, ``(B, 15)``."""

    observations: torch.Tensor
    probabilities: npt.NDArray[np.float64]

    @classmethod
    def of(cls, dataset: OfflineDataset) -> ExpertFrames:
        """Draws some of a dataset that records the expert's probabilities."""
        assert dataset.policy is not None
        observations = dataset.transitions.observations
        count = min(FRAMES, len(observations))
        chosen = np.sort(np.random.default_rng(0).choice(len(observations), count, replace=False))
        return cls(torch.from_numpy(observations[chosen]), dataset.policy[chosen])

    def losses(self, students: Sequence[DiscretePolicy], sharpness: float) -> list[float]:
        """Returns each student's mean cross-entropy, nats, to the expert's policy to this power."""
        return [
            self.cross_entropy(torch.log_softmax(s.logits(self.observations), 1).numpy(), sharpness)
            for s in students
        ]

    def cross_entropy(self, log_probabilities: np.ndarray, sharpness: float) -> float:
        """Of a policy with these log-probabilities, ``(B, 15)`` or ``(1, 15)``, to the sharpened expert."""
        return float(-(sharpen(self.probabilities, sharpness) * log_probabilities).sum(1).mean())

    def calibrated(self, logits: torch.Tensor, sharpness: float) -> float:
        """Of a policy with these logits, ``(B, 15)``, at the temperature of :data:`TEMPERATURES` that suits it best."""
        scaled = (torch.log_softmax(logits / temperature, 1).numpy() for temperature in TEMPERATURES)
        return min(self.cross_entropy(one, sharpness) for one in scaled)

    def entropy(self, sharpness: float) -> float:
        """Of the sharpened expert: no policy comes below."""
        targets = sharpen(self.probabilities, sharpness)
        return self.cross_entropy(np.log(np.maximum(targets, 1e-30)), sharpness)

    def constant(self, sharpness: float) -> float:
        """Of the best policy that does not look: the sharpened expert's own action frequencies here."""
        marginal = sharpen(self.probabilities, sharpness).mean(0, keepdims=True)
        return self.cross_entropy(np.log(np.maximum(marginal, 1e-30)), sharpness)
