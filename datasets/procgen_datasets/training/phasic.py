"""Phasic policy gradient on one network (Cobbe et al. 2021, arXiv 2009.04416) as a subclass of PPO."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from stable_baselines3 import PPO
from torch import nn

from .config import TrainExpertConfig
from .policy import ImpalaPolicy

__all__ = ["PhasicPPO", "learning_rate_at"]

AUXILIARY_BATCH = 1024
FLOOR = 0.1


def learning_rate_at(config: TrainExpertConfig, steps: int) -> float:
    """Returns the learning rate after ``steps`` environment steps.

    It falls linearly over ``config.annealing`` steps to a tenth, where it stays; it is constant if that is 0.
    """
    if config.annealing == 0:
        return config.learning_rate
    return config.learning_rate * max(FLOOR, 1 - (1 - FLOOR) * steps / config.annealing)


class PhasicPPO(PPO):
    r"""PPO whose value loss trains the features in phases of its own, where the policy is held fast.

    Between phases the value loss trains the value head alone. After ``config.phase`` rollouts, on all their frames,
    ``config.auxiliary_epochs`` passes minimise

    .. math:: \frac{1}{2} (V(s) - \hat V(s))^2 + \beta\, \mathrm{KL}(\pi_\text{old}(\cdot|s) \| \pi(\cdot|s))

    with the rollouts' :math:`\lambda`-returns :math:`\hat V`, the policy :math:`\pi_\text{old}` before the phase and
    :math:`\beta` = ``config.cloning``. With ``config.phase`` 0 it is PPO.

    Args:
        config: The settings.
        **kwargs: What :class:`stable_baselines3.PPO` takes.
    """

    def __init__(self, config: TrainExpertConfig, **kwargs: Any) -> None:
        self._config = config
        self._frames: list[npt.NDArray[np.uint8]] = []
        self._targets: list[npt.NDArray[np.float32]] = []
        super().__init__(**kwargs)

    def train(self) -> None:
        """Updates on the rollout, and on all rollouts of the phase when it is full."""
        super().train()
        if self._config.phase == 0:
            return
        self._frames.append(self.rollout_buffer.observations)  # not a copy: the buffer makes new arrays
        self._targets.append(self.rollout_buffer.returns.reshape(-1))
        if len(self._frames) == self._config.phase:
            self._auxiliary_phase()
            self._frames, self._targets = [], []

    def _update_learning_rate(self, optimizers: Any) -> None:
        rate = learning_rate_at(self._config, self.num_timesteps)
        self.logger.record("train/learning_rate", rate)
        for group in optimizers.param_groups:
            group["lr"] = rate

    def _auxiliary_phase(self) -> None:
        policy: Any = self.policy
        old = self._old_logits(policy)
        size = self._config.rollout
        share = max(1, AUXILIARY_BATCH // self._config.phase)  # of each rollout, in each minibatch
        losses, divergences = [], []
        for _ in range(self._config.auxiliary_epochs):
            orders = [np.random.permutation(size) for _ in self._frames]  # noqa: NPY002  (stable-baselines3's)
            for start in range(0, size, share):
                index = [order[start : start + share] for order in orders]
                frames = self._gather(self._frames, index)
                target = self._gather(self._targets, index)
                logits, values = policy.policy_and_value(frames)
                value_loss = F.mse_loss(values, target)
                divergence = F.kl_div(
                    F.log_softmax(logits, 1), self._gather(old, index), reduction="batchmean", log_target=True
                )
                loss = 0.5 * value_loss + self._config.cloning * divergence
                policy.optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(policy.parameters(), self.max_grad_norm)
                policy.optimizer.step()
                losses.append(float(value_loss.detach()))
                divergences.append(float(divergence.detach()))
        self.logger.record("auxiliary/value_loss", np.mean(losses))
        self.logger.record("auxiliary/divergence", np.mean(divergences))

    def _old_logits(self, policy: ImpalaPolicy) -> list[npt.NDArray[np.float32]]:
        """Returns the log-probabilities before the phase, one array ``(rollout, 15)`` a rollout."""
        with torch.inference_mode():
            return [
                np.concatenate(
                    [
                        F.log_softmax(policy.policy_and_value(torch.from_numpy(part).to(self.device))[0], 1)
                        .cpu()
                        .numpy()
                        for part in np.split(frames, range(AUXILIARY_BATCH, len(frames), AUXILIARY_BATCH))
                    ]
                )
                for frames in self._frames
            ]

    def _gather(self, arrays: list[Any], index: list[npt.NDArray[np.int64]]) -> torch.Tensor:
        rows = np.concatenate([array[i] for array, i in zip(arrays, index, strict=True)])
        return torch.from_numpy(rows).to(self.device)
