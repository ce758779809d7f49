"""An environment of images for d3rlpy's own commands: five steps of noise, of which it draws pictures itself."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

LENGTH = 5


class FramesEnv(gymnasium.Env[np.ndarray, int]):
    """Pays 1 for action 1."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 5}
    render_mode = "rgb_array"
    observation_space = Box(0, 255, (3, 40, 40), np.uint8)
    action_space = Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return self._observation(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(np.int64(action))
        self._steps += 1
        return self._observation(), float(action == 1), self._steps == LENGTH, False, {}

    def render(self) -> np.ndarray:
        return np.full((32, 32, 3), self._steps, np.uint8)

    def _observation(self) -> np.ndarray:
        return self.np_random.integers(0, 256, (3, 40, 40), np.uint8)
