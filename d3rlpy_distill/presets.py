"""Learners and training budgets of arXiv 2407.20299, as d3rlpy configurations."""

from __future__ import annotations

import dataclasses

from d3rlpy.algos import DiscreteBCConfig
from d3rlpy.preprocessing import PixelObservationScaler

from .encoders import PaperEncoderFactory

__all__ = ["PAPER_BC", "PAPER_SYNTHETIC", "Budget", "paper_student"]


@dataclasses.dataclass(frozen=True)
class Budget:
    """How long a student trains.

    Args:
        n_steps: Gradient steps.
        batch_size: Samples a step.
    """

    n_steps: int
    batch_size: int

    def __post_init__(self) -> None:
        if self.n_steps < 1 or self.batch_size < 1:
            raise ValueError(f"budget of {self.n_steps} x {self.batch_size}: expected 1 or more each.")

    def __str__(self) -> str:
        return f"{self.n_steps} x {self.batch_size}"


PAPER_BC = Budget(1000, 256)
"""Students on real data."""
PAPER_SYNTHETIC = Budget(100, 15)
"""Students on 150 samples."""


def paper_student(budget: Budget) -> DiscreteBCConfig:
    """Returns the paper's student: its CNN, Adam at 5e-3, pixels scaled to [0, 1].

    Beta is 0: d3rlpy's default of 0.5 penalises log-probabilities so strongly that the probability of a
    clean label cannot exceed 0.28, and the paper's loss has no such term.
    """
    return DiscreteBCConfig(
        batch_size=budget.batch_size,
        learning_rate=5e-3,
        encoder_factory=PaperEncoderFactory(),
        observation_scaler=PixelObservationScaler(),
        beta=0.0,
    )
