"""A task in one file: walk to the end of a corridor, on gymnasium's interface.

rld-distill collect examples/corridor --plugin examples/add_a_task.py --policy random --episodes 20 --out walk.h5
rld-distill distill walk.h5 --plugin examples/add_a_task.py --samples 10 --steps 200 --out walk-10.h5
rld-distill evaluate walk.h5 walk-10.h5 --plugin examples/add_a_task.py --students 3 --episodes 20
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from d3rlpy_distill import GymnasiumTask, register_task

LENGTH, LIMIT = 10, 40


class Corridor(gymnasium.Env[npt.NDArray[np.float32], int]):
    """Actions go left and right; each step costs 1, and the right end, ``LENGTH`` steps away at most, ends it."""

    observation_space = gymnasium.spaces.Box(0, LENGTH, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._place, self._steps = int(self.np_random.integers(LENGTH)), 0
        return np.array([self._place], np.float32), {}

    def step(self, action: int) -> Any:
        self._place = max(0, self._place + (1 if action else -1))
        self._steps += 1
        over = self._place >= LENGTH
        return np.array([self._place], np.float32), -1.0, over, self._steps >= LIMIT and not over, {}


@register_task("examples/corridor")
class CorridorTask(GymnasiumTask):
    """Walk to the end of a corridor."""

    def make_env(self) -> gymnasium.Env[Any, Any]:
        return Corridor()

    def normalise(self, value: float) -> float:
        return (value + LIMIT) / LIMIT
