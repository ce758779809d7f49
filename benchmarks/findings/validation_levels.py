"""What the scripts measure on levels 200-299, the only ones on which a setting may be chosen."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from d3rlpy_distill import OfflineDataset, make_task
from d3rlpy_distill.policies import DiscretePolicy
from procgen_datasets import VALIDATION_LEVELS
from procgen_datasets.task import ProcgenCollectSettings

from .expert_frames import ExpertFrames

EPISODES = 100


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
        task: The game's, ``"procgen/starpilot"``; as a dataset says it.
        episodes: Episodes that each student plays.
    """

    def __init__(self, task: str | None, episodes: int = EPISODES) -> None:
        assert task is not None
        self._task, self._episodes = make_task(task), episodes
        levels = VALIDATION_LEVELS
        settings = ProcgenCollectSettings(episodes=40, start_level=levels.start, num_levels=levels.num)
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "validation.h5"
            self._task.collect(settings, path)
            self.frames = ExpertFrames.of(OfflineDataset.load(path))

    def score(self, students: Sequence[DiscretePolicy], sharpness: float) -> Score:
        """Measures students against the expert's policy to this power."""
        returns = self._task.play(
            students, split="validation", mode="sampled", episodes=self._episodes, seed=1
        ).mean(1)
        return Score(self.frames.losses(students, sharpness), returns.tolist())
