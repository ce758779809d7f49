"""Procgen as a stable-baselines3 ``VecEnv``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv

from ..env import ProcgenVecEnv
from ..games import N_ACTIONS

__all__ = ["FRAME", "Sb3ProcgenEnv", "folded_shape"]

FRAME = (64, 64, 3)


class Sb3ProcgenEnv(VecEnv):
    """Procgen environments whose observations are flat, uint8 ``(N, 12288)``: the bytes of frames ``(64, 64, 3)``.

    Flat, because stable-baselines3 would reorder images to channel-first and copy them at every step; the policy
    reads the same bytes as a channels-last tensor. Every end of an episode is terminal: Procgen gives no final
    frame whose value could be bootstrapped.

    Args:
        env: The environments.
        fold: Pixels along each axis that become channels, as in :func:`torch.nn.functional.pixel_unshuffle`; 2
            gives the bytes of ``(32, 32, 12)``. Folded once here, a frame is not folded again in every epoch.
    """

    def __init__(self, env: ProcgenVecEnv, fold: int = 1) -> None:
        self.env = env
        self._order = _folding(fold) if fold > 1 else None
        self.render_mode = None
        space = gymnasium.spaces.Box(0, 255, (int(np.prod(FRAME)),), np.uint8)
        super().__init__(env.num_envs, space, gymnasium.spaces.Discrete(N_ACTIONS))
        self.returns = np.zeros(env.num_envs)
        self.lengths = np.zeros(env.num_envs, np.int64)
        self._actions: npt.NDArray[Any] = np.zeros(env.num_envs, np.int64)

    def reset(self) -> npt.NDArray[np.uint8]:
        """Starts anew, at the beginning of the order of levels."""
        self.returns[:] = 0
        self.lengths[:] = 0
        return self._flat(self.env.reset())

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Takes note of the actions."""
        self._actions = actions

    def step_wait(self) -> Any:
        """Returns ``(observations, rewards, dones, infos)``; an episode's last info holds its return."""
        result = self.env.step(self._actions)
        self.returns += result.rewards
        self.lengths += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if result.ends is not None:
            for i in result.ends.slots:
                infos[i]["episode"] = {"r": float(self.returns[i]), "l": int(self.lengths[i])}
            self.returns[result.ends.slots] = 0
            self.lengths[result.ends.slots] = 0
        return self._flat(result.observations), result.rewards, result.first.astype(bool), infos

    def restore(
        self, states: Sequence[bytes], returns: npt.NDArray[np.float64], lengths: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Puts everything back as it was and returns the observations."""
        self.returns[:] = returns
        self.lengths[:] = lengths
        return self._flat(self.env.restore(states))

    def close(self) -> None:
        """Does nothing: Procgen leaks memory when an environment is destroyed."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Returns an attribute, once for each environment asked for."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuses: the environments are one object."""
        raise NotImplementedError("Procgen's environments cannot be changed one by one.")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Refuses: the environments are one object."""
        raise NotImplementedError("Procgen's environments cannot be called one by one.")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Returns False for each environment asked for."""
        return [False for _ in self._get_indices(indices)]

    def _flat(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Turns the channel-first view ``(N, 3, 64, 64)`` back into Procgen's own bytes ``(N, 12288)``, folded."""
        flat = frames.transpose(0, 2, 3, 1).reshape(len(frames), -1)
        return flat if self._order is None else flat.take(self._order, axis=1)


def folded_shape(fold: int) -> tuple[int, int, int]:
    """Returns height, width and channels of a folded frame."""
    height, width, channels = FRAME
    return height // fold, width // fold, channels * fold**2


def _folding(fold: int) -> npt.NDArray[np.intp]:
    """Returns where each byte of a folded frame comes from, ``(12288,)``."""
    height, width, channels = FRAME
    source = np.arange(height * width * channels, dtype=np.intp)
    parts = source.reshape(height // fold, fold, width // fold, fold, channels)
    return parts.transpose(0, 2, 4, 1, 3).reshape(-1)
