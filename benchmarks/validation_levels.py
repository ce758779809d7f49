"""What the other scripts measure on levels 200-299, the only ones on which a setting may be chosen."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

import gym_notices.notices
import numpy as np
import structlog
import torch

gym_notices.notices.notices.clear()
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))

from d3rlpy_distill import PAPER_SYNTHETIC, Budget, TransitionArrays, paper_student, train_student  # noqa: E402
from d3rlpy_distill.evaluation.players import Policy, StudentPolicy  # noqa: E402
from d3rlpy_distill.relabel import sharpen, transition_probabilities  # noqa: E402
from procgen_datasets import VALIDATION_LEVELS, CollectConfig, collect, load_dataset  # noqa: E402
from procgen_datasets.hdf5 import read_extras  # noqa: E402
from procgen_datasets.player import ProcgenPlayer  # noqa: E402

STUDENTS, EPISODES, FRAMES = 10, 100, 2000


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
            buffer = load_dataset(path)[0]
            data = TransitionArrays.from_buffer(buffer)
            rows = transition_probabilities(buffer, data, read_extras(path, "steps")["action_probabilities"])
        chosen = np.sort(np.random.default_rng(0).choice(len(data), FRAMES, replace=False))
        self._frames, self._probabilities = torch.from_numpy(data.observations[chosen]), rows[chosen]
        self._player = ProcgenPlayer(game, {"validation": VALIDATION_LEVELS}, EPISODES, seed=1)

    def score(self, students: Sequence[Policy], sharpness: float) -> Score:
        """Measures students against the expert's policy to this power."""
        losses = [
            self.cross_entropy(torch.log_softmax(s.logits(self._frames), 1).numpy(), sharpness) for s in students
        ]
        returns = self._player.play(students, split="validation", mode="sampled").mean(1)
        return Score(losses, returns.tolist())

    def cross_entropy(self, log_probabilities: np.ndarray, sharpness: float) -> float:
        """Of a policy with these log-probabilities, ``(FRAMES, 15)`` or ``(1, 15)``, to the sharpened expert."""
        return float(-(sharpen(self._probabilities, sharpness) * log_probabilities).sum(1).mean())

    def entropy(self, sharpness: float) -> float:
        """Of the sharpened expert: no policy comes below."""
        targets = sharpen(self._probabilities, sharpness)
        return self.cross_entropy(np.log(np.maximum(targets, 1e-30)), sharpness)
