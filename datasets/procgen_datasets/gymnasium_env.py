"""One Procgen environment behind gymnasium's interface, for d3rlpy's own evaluators and ``play``."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from .env import ProcgenVecEnv
from .games import N_ACTIONS, Levels

__all__ = ["ProcgenGymnasiumEnv"]


class ProcgenGymnasiumEnv(gymnasium.Env[npt.NDArray[np.uint8], int]):
    """A Procgen game: observations uint8 ``(3, 64, 64)``, 15 discrete actions.

    Procgen starts the next episode by itself and shows no final frame, so the observation returned with
    ``terminated`` or ``truncated`` is the last one on which an action was taken. An episode that reaches
    the game's time limit without solving its level is ``truncated``.

    Args:
        game: One of the 16 games.
        levels: Range of level seeds.
        mode: ``"easy"`` or ``"hard"``.
        rand_seed: Order of levels until ``reset(seed=...)`` gives another.
        render_mode: None or ``"rgb_array"`` (512x512).
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012  (gymnasium's own convention)

    def __init__(
        self,
        game: str,
        *,
        levels: Levels,
        mode: str = "easy",
        rand_seed: int = 0,
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode={render_mode!r}: expected None or 'rgb_array'.")
        self.observation_space = gymnasium.spaces.Box(0, 255, (3, 64, 64), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(N_ACTIONS)  # type: ignore[assignment]
        self.render_mode = render_mode
        self._game = game
        self._levels = levels
        self._mode = mode
        self._vec = self._build(rand_seed)
        self._pending = True  # a fresh episode is waiting: the next reset() shows it
        self._length = 0
        self._last = self._vec.observations()[0]

    def _build(self, rand_seed: int) -> ProcgenVecEnv:
        human = self.render_mode == "rgb_array"
        return ProcgenVecEnv(
            self._game, 1, levels=self._levels, mode=self._mode, rand_seed=rand_seed, human_frames=human
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.uint8], dict[str, Any]]:
        """Starts the next level; with ``seed``, the first level of that order."""
        super().reset(seed=seed)
        if seed is not None:
            self._vec = self._build(seed)
        elif not self._pending:
            self._vec.force_reset()
        self._pending = False
        self._length = 0
        self._last = self._vec.observations()[0]
        return self._last, {"level_seed": int(self._vec.level_seeds()[0])}

    def step(self, action: int) -> tuple[npt.NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Takes one action.

        Raises:
            gymnasium.error.ResetNeeded: If the episode is over.
        """
        if self._pending:
            raise gymnasium.error.ResetNeeded("the episode is over: call reset() before step().")
        result = self._vec.step(np.array([action]).reshape(1))
        self._length += 1
        reward = float(result.rewards[0])
        if result.ends is None:
            self._last = result.observations[0]
            return self._last, reward, False, False, {}
        self._pending = True
        complete = bool(result.ends.level_complete[0])
        timeout = self._length >= self._vec.game.time_limit and not complete
        info = {"level_seed": int(result.ends.level_seeds[0]), "level_complete": complete}
        return self._last, reward, not timeout, timeout, info

    def render(self) -> npt.NDArray[np.uint8] | None:  # type: ignore[override]
        """Returns the current 512x512 frame, or None without ``render_mode="rgb_array"``."""
        return self._vec.render()[0] if self.render_mode == "rgb_array" else None
