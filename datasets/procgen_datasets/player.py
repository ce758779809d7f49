"""Plays policies on the training levels and on all levels, as the evaluation protocol asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from d3rlpy_distill.policies import DiscretePolicy

from .env import ProcgenVecEnv
from .games import Levels, get_game
from .rollout import rollout

__all__ = ["ProcgenPlayer"]

MAX_SLOTS = 50


class ProcgenPlayer:
    """Evaluates policies on level splits.

    Every policy, in every call, plays the same levels in the same order, and draws its actions from a stream
    of its own.

    Args:
        game: One of the 16 games.
        splits: Levels of each split, for example ``{"id": TRAIN_LEVELS, "ood": ALL_LEVELS}``.
        episodes: Episodes of each policy in a call.
        seed: Fixes levels and action sampling.
        mode: Procgen's difficulty, ``"easy"`` or ``"hard"``.
        on_episode: Called after each episode, for progress.
    """

    def __init__(
        self,
        game: str,
        splits: dict[str, Levels],
        episodes: int,
        *,
        seed: int,
        mode: str = "easy",
        on_episode: Callable[[], None] | None = None,
    ) -> None:
        if episodes < 1:
            raise ValueError(f"episodes={episodes}: expected 1 or more.")
        self.game = get_game(game)
        self.splits = splits
        self.episodes = episodes
        self.seed = seed
        self.mode = mode
        self.frames_played = 0
        self._on_episode = on_episode
        self._envs: dict[tuple[str, int], ProcgenVecEnv] = {}  # kept: Procgen leaks what is destroyed

    def play(self, policies: Sequence[DiscretePolicy], *, split: str, mode: str) -> npt.NDArray[np.float64]:
        """Returns the policies' returns, one row each, in the order of slots: ``(P, episodes)``.

        Args:
            policies: P policies.
            split: A key of ``splits``.
            mode: ``"sampled"`` or ``"greedy"``.
        """
        if mode not in ("sampled", "greedy"):
            raise ValueError(f"mode={mode!r}: expected 'sampled' or 'greedy'.")
        env = self._env(split, len(policies))
        returns: list[list[tuple[int, int, float]]] = [[] for _ in policies]
        for episode in rollout(env, policies, self.episodes, greedy=mode == "greedy", seed=self.seed):
            returns[episode.policy].append((episode.slot, episode.index, episode.episode_return))
            self.frames_played += episode.length
            if self._on_episode is not None:
                self._on_episode()
        return np.array([[value for *_, value in sorted(row)] for row in returns])

    def normalise(self, value: float) -> float:
        """Maps a return to the game's normalised score."""
        return self.game.normalise(value)

    def _env(self, split: str, copies: int) -> ProcgenVecEnv:
        if split not in self.splits:
            raise ValueError(f"split={split!r}: expected one of {', '.join(self.splits)}.")
        key = (split, copies)
        if key not in self._envs:
            self._envs[key] = ProcgenVecEnv(
                self.game.name,
                min(self.episodes, MAX_SLOTS),
                levels=self.splits[split],
                rand_seed=self.seed,
                mode=self.mode,
                copies=copies,
            )
        return self._envs[key]
