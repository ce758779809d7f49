"""SAC's memory as rows of one table, which a GPU draws its batches from."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from gymnasium.spaces import Box, Space
from stable_baselines3.common.buffers import ReplayBuffer

__all__ = ["PackedReplay", "Rows"]


class Rows(NamedTuple):
    """Transitions, as columns of one tensor.

    Args:
        observations: float32 ``(B, O)``.
        actions: float32 ``(B, D)``, in [-1, 1].
        rewards: float32 ``(B, 1)``.
        over: float32 ``(B, 1)``; 1 where the episode was over, 0 where it went on or was cut.
        next_observations: float32 ``(B, O)``.
    """

    observations: torch.Tensor
    actions: torch.Tensor
    rewards: torch.Tensor
    over: torch.Tensor
    next_observations: torch.Tensor


class PackedReplay(ReplayBuffer):
    """stable-baselines3's buffer of vectors; its arrays are columns of one table, so a batch is one gather.

    On a GPU the table has a copy there, to which each step is added as it comes.

    Args:
        buffer_size: Transitions that it remembers, those of all environments together.
        observation_space: A ``Box`` of vectors.
        action_space: A ``Box``.
        device: Of the copy, and of ``filled``.
        n_envs: Environments.
        optimize_memory_usage: False; stable-baselines3 passes it on.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: Space[Any],
        action_space: Space[Any],
        device: torch.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
    ) -> None:
        assert not optimize_memory_usage  # it would keep no next observations
        super().__init__(buffer_size, observation_space, action_space, device, n_envs)
        assert isinstance(observation_space, Box) and len(observation_space.shape) == 1
        seen, taken = observation_space.shape[0], self.action_dim
        self._columns = (seen, taken, 1, 1, seen)
        self._rows: npt.NDArray[np.float32] = np.zeros((self.buffer_size, n_envs, sum(self._columns)), np.float32)
        ends = np.cumsum(self._columns)
        self.observations = self._rows[..., : ends[0]]
        self.actions = self._rows[..., ends[0] : ends[1]]
        self.rewards = self._rows[..., ends[1]]
        self._over = self._rows[..., ends[2]]
        self.next_observations = self._rows[..., ends[3] :]
        self._table = self._flat(0, self.buffer_size).to(self.device)
        self.filled = torch.zeros((), dtype=torch.float64, device=self.device)
        """Number of transitions in the table; a tensor, because a graph reads it again at each launch."""

    def add(
        self,
        obs: npt.NDArray[Any],
        next_obs: npt.NDArray[Any],
        action: npt.NDArray[Any],
        reward: npt.NDArray[Any],
        done: npt.NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        """Adds a step of each environment; see :class:`stable_baselines3.common.buffers.ReplayBuffer`."""
        row = self.pos
        super().add(obs, next_obs, action, reward, done, infos)
        self._mirror(row, row + 1)

    def restored(self) -> None:
        """Is called when the arrays and the position were set from a checkpoint."""
        self._mirror(0, self.size())

    def _mirror(self, first: int, last: int) -> None:
        self._over[first:last] = self.dones[first:last] * (1 - self.timeouts[first:last])
        if self._table.device.type != "cpu":
            self._table[first * self.n_envs : last * self.n_envs].copy_(self._flat(first, last))
        self.filled.fill_(float(self.size() * self.n_envs))

    def _flat(self, first: int, last: int) -> torch.Tensor:
        return torch.from_numpy(self._rows[first:last].reshape(-1, sum(self._columns)))

    def gather(self, indices: torch.Tensor) -> torch.Tensor:
        """Returns rows of the table, ``(N, W)``, for indices below ``filled``, int64 ``(N,)`` on the device."""
        return self._table.index_select(0, indices)

    def columns(self, rows: torch.Tensor) -> Rows:
        """Returns rows ``(B, W)`` as what they mean, without a copy."""
        return Rows(*rows.split(list(self._columns), dim=-1))
