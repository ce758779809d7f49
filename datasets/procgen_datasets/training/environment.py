"""Procgen as a stable-baselines3 ``VecEnv``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from ..env import ProcgenVecEnv
from ..games import N_ACTIONS

__all__ = ["FRAME", "NormalisedRewards", "Sb3ProcgenEnv"]

FRAME = (64, 64, 3)


class Sb3ProcgenEnv(VecEnv):
    """Procgen environments whose observations are flat, uint8 ``(N, 12288)``: the bytes of frames ``(64, 64, 3)``.

    Flat, because stable-baselines3 would reorder images to channel-first and copy them at every step; the policy
    reads the same bytes as a channels-last tensor. Every end of an episode is terminal: Procgen gives no final
    frame whose value could be bootstrapped.

    Args:
        env: The environments.
    """

    def __init__(self, env: ProcgenVecEnv) -> None:
        self.env = env
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
        rewards, frames, first = self.env.advance(self._actions)
        self.returns += rewards
        self.lengths += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        ended = np.flatnonzero(first)
        for i in ended:
            infos[i]["episode"] = {"r": float(self.returns[i]), "l": int(self.lengths[i])}
        self.returns[ended] = 0
        self.lengths[ended] = 0
        return frames.reshape(len(frames), -1), rewards, first.astype(bool), infos

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
        """Turns the channel-first view ``(N, 3, 64, 64)`` back into Procgen's own bytes ``(N, 12288)``."""
        return frames.transpose(0, 2, 3, 1).reshape(len(frames), -1)


class NormalisedRewards(VecNormalize):
    """Rewards divided by the running deviation of the discounted return; frames pass through, never copied."""

    def normalize_obs(self, obs: Any) -> Any:
        """Returns the observations as they are."""
        return obs
