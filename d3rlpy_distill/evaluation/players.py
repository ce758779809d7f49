"""What evaluation needs of an environment, and a student as a policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from d3rlpy.algos import DiscreteBC

from ..learner import autocast, keep_heap, learner_network, scale
from ..training import PIECE

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
        self._network = learner_network(learner)
        keep_heap()

    def logits(self, observations: torch.Tensor) -> torch.Tensor:
        """Maps observations of any dtype ``(B, ...)`` to float32 log-probabilities ``(B, A)``."""
        out = []
        with torch.no_grad():
            for piece in observations.split(PIECE):
                x = scale(self.learner, piece)
                with autocast(x.device.type):
                    out.append(self._network(x).logits.float().cpu())
        return torch.cat(out)
