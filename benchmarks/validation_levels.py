"""What the other scripts measure on levels 200-299, the only ones on which a setting may be chosen."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from expert_frames import ExpertFrames

from d3rlpy_distill import PAPER_SYNTHETIC, Budget, TransitionArrays, paper_student, train_student
from d3rlpy_distill.evaluation.players import Policy, StudentPolicy
from procgen_datasets import VALIDATION_LEVELS, CollectConfig, collect
from procgen_datasets.player import ProcgenPlayer

STUDENTS, EPISODES = 10, 100


def train(data: TransitionArrays, seed: int, budget: Budget = PAPER_SYNTHETIC) -> StudentPolicy:
    """A student of the paper, 100 steps of 15 unless another budget is given."""
    return StudentPolicy(train_student(paper_student(budget), data, budget.n_steps, seed=seed))


@dataclasses.dataclass(frozen=True)
class Score:
    """Of several students: cross-entropy to the sharpened expert, and return, 100 episodes each, sampled."""

    losses: list[float]
    returns: list[float]

    def to_json(self) -> dict[str, float]:
        return {
            "loss": round(float(np.mean(self.losses)), 3),
            "loss_std": round(float(np.std(self.losses)), 3),
            "return": round(float(np.mean(self.returns)), 2),
            "return_std": round(float(np.std(self.returns)), 2),
        }


class ValidationLevels:
    """Frames of a game's bundled expert, its probabilities there, and the levels to play.

    Args:
        game: The game.
    """

    def __init__(self, game: str) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "validation.h5"
            collect(CollectConfig(game, episodes=40, levels=VALIDATION_LEVELS), path)
            self.frames = ExpertFrames.of(path)
        self._player = ProcgenPlayer(game, {"validation": VALIDATION_LEVELS}, EPISODES, seed=1)

    def score(self, students: Sequence[Policy], sharpness: float) -> Score:
        """Measures students against the expert's policy to this power."""
        returns = self._player.play(students, split="validation", mode="sampled").mean(1)
        return Score(self.frames.losses(students, sharpness), returns.tolist())
