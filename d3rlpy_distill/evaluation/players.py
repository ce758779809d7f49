"""What evaluation needs of an environment, and a student as a policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from d3rlpy.algos import DiscreteBC

from ..learner import imitator_logits, keep_heap

__all__ = ["MODES", "SPLITS", "Mode", "Player", "Policy", "Split", "StudentPolicy"]

Split = Literal["id", "ood"]
Mode = Literal["sampled", "greedy"]
SPLITS: tuple[Split, ...] = ("id", "ood")
MODES: tuple[Mode, ...] = ("sampled", "greedy")


class Policy(Protocol):
    """Anything that maps observations ``(B, ...)`` to float32 logits ``(B, A)``."""

    def logits(self, observations: torch.Tensor) -> torch.Tensor: ...


class Player(Protocol):
    """Plays policies in an environment; equal calls play equal levels."""

    def play(self, policies: Sequence[Policy], *, split: Split, mode: Mode) -> npt.NDArray[np.float64]:
        """Returns the policies' returns, one row each: ``(P, episodes)``."""
        ...

    def normalise(self, value: float) -> float:
        """Maps a return to the game's normalised score."""
        ...


class StudentPolicy:
    """A trained ``DiscreteBC`` as a policy.

    Args:
        learner: The student.
    """

    def __init__(self, learner: DiscreteBC) -> None:
        self.learner = learner
        keep_heap()

    def logits(self, observations: torch.Tensor) -> torch.Tensor:
        """Maps observations of any dtype ``(B, ...)`` to float32 log-probabilities ``(B, A)``."""
        return imitator_logits(self.learner, observations)
