"""PPO and phasic policy gradient on one network, with all frames on the network's device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import explained_variance
from stable_baselines3.common.vec_env import VecEnv
from torch import nn

from d3rlpy_distill.learners.captured import Captured

from ..games import N_ACTIONS
from .config import TrainExpertConfig
from .policy import ImpalaPolicy, fold

__all__ = ["FramelessBuffer", "PhasicPPO", "fall"]

FLOOR = 0.1
FORWARD_BATCH = 4096  # frames of a forward pass without gradients


def fall(config: TrainExpertConfig, steps: int) -> float:
    """Returns the share of the learning rate and of the entropy bonus that is left after ``steps`` steps.

    It falls linearly from 1 to a tenth over ``config.annealing`` steps and stays there; it is 1 if that is 0.
    """
    if config.annealing == 0:
        return 1.0
    return max(FLOOR, 1 - (1 - FLOOR) * steps / config.annealing)


class FramelessBuffer(RolloutBuffer):
    """stable-baselines3's buffer, without the observations: :class:`PhasicPPO` keeps those on the device."""

    def reset(self) -> None:
        """Empties the buffer."""
        super().reset()
        self.observations = np.empty((self.buffer_size, self.n_envs, 0), np.uint8)


class PhasicPPO(PPO):
    r"""PPO (Schulman et al. 2017, arXiv 1707.06347), or phasic policy gradient (Cobbe et al. 2021, arXiv 2009.04416).

    Every update minimises, on minibatches of the rollout, with :math:`r = \pi(a|s) / \pi_\text{old}(a|s)` and
    advantages :math:`A` that are normalised in the minibatch,

    .. math:: -\min(r A, \mathrm{clip}(r, 1 - \epsilon, 1 + \epsilon) A) + c_v (V(s) - \hat V(s))^2 - c_e H(\pi)

    With ``config.phase`` above 0 the value loss trains the value head alone there. After that many rollouts, on all
    their frames, ``config.auxiliary_epochs`` passes minimise

    .. math:: \frac{1}{2} (V(s) - \hat V(s))^2 + \beta\, \mathrm{KL}(\pi_\text{old}(\cdot|s) \| \pi(\cdot|s))

    with the rollouts' :math:`\lambda`-returns :math:`\hat V`, the policy :math:`\pi_\text{old}` before the phase and
    :math:`\beta` = ``config.cloning``.

    stable-baselines3 keeps the loop, the episodes' statistics, the advantages and the log. The updates are the same
    as its own, on frames that never leave the device; on a GPU each is one CUDA graph.

    Args:
        config: The settings.
        **kwargs: What :class:`stable_baselines3.PPO` takes.
    """

    policy: ImpalaPolicy

    def __init__(self, config: TrainExpertConfig, **kwargs: Any) -> None:
        self._config = config
        self._rollouts = 0  # of this phase
        super().__init__(rollout_buffer_class=FramelessBuffer, **kwargs)
        device, n, size = self.device, self.n_envs, config.rollout
        phase = max(1, config.phase)
        self._bytes = int(np.prod(self.observation_space.shape or ()))
        self._frames = torch.empty((phase * size, self._bytes), dtype=torch.uint8, device=device)
        self._raw = torch.empty((n, self._bytes), dtype=torch.uint8, device=device)
        self._seen = torch.empty_like(self._raw)  # the same frames, folded
        self._acted = torch.empty((3, n), device=device)  # actions, values, log-probabilities
        self._actions = torch.empty(size, dtype=torch.int64, device=device)
        self._scalars = torch.empty((3, size), device=device)  # old log-probabilities, advantages, lambda-returns
        self._targets = torch.empty(phase * size, device=device)  # the phase's lambda-returns
        self._old = torch.empty((phase * size if config.phase else 0, N_ACTIONS), device=device)
        self._start = torch.zeros((), dtype=torch.int64, device=device)  # the rollout's first frame
        self._index = torch.empty(self.batch_size, dtype=torch.int64, device=device)
        self._auxiliary_index = torch.empty(config.auxiliary_size, dtype=torch.int64, device=device)
        self._entropy_bonus = torch.empty((), device=device)
        self._sums = torch.zeros(5, device=device)  # policy loss, value loss, -entropy, divergence, share clipped
        self._auxiliary_sums = torch.zeros(2, device=device)  # value loss, divergence
        self._act = Captured(self._choose, device)
        self._update: Captured | None = None
        self._auxiliary_update: Captured | None = None

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Plays ``n_rollout_steps`` steps in every environment, as stable-baselines3 does it.

        Returns:
            False if the callback stopped it, else True.
        """
        assert self._last_obs is not None
        self.policy.set_training_mode(False)
        rollout_buffer.reset()
        callback.on_rollout_start()
        none = np.empty((env.num_envs, 0), np.uint8)
        start = self._rollouts * self._config.rollout
        for step in range(n_rollout_steps):
            self._look(self._last_obs)
            row = start + step * env.num_envs
            self._frames[row : row + env.num_envs] = self._seen
            acted = self._acted.cpu()
            observations, rewards, dones, infos = env.step(acted[0].numpy().astype(np.int64))
            self.num_timesteps += env.num_envs
            if not callback.on_step():
                return False
            self._update_info_buffer(infos, dones)
            rollout_buffer.add(
                none, acted[0].numpy(), rewards, self._last_episode_starts, acted[1], acted[2]  # type: ignore[arg-type]
            )  # fmt: skip
            self._last_obs = observations  # type: ignore[assignment]
            self._last_episode_starts = dones
        self._look(self._last_obs)  # for its values
        rollout_buffer.compute_returns_and_advantage(self._acted[1].cpu(), self._last_episode_starts)  # type: ignore[arg-type]
        callback.on_rollout_end()
        return True

    def train(self) -> None:
        """Updates on the rollout, and on all rollouts of the phase when it is full."""
        self.policy.set_training_mode(True)
        optimizer = self.policy.optimizer
        self._update_learning_rate(optimizer)
        self._entropy_bonus.fill_(self.ent_coef * fall(self._config, self.num_timesteps))
        buffer = self.rollout_buffer
        size = self._config.rollout
        self._actions.copy_(torch.from_numpy(buffer.actions.reshape(-1)))
        for row, values in enumerate((buffer.log_probs, buffer.advantages, buffer.returns)):
            self._scalars[row].copy_(torch.from_numpy(values.reshape(-1)))
        self._start.fill_(self._rollouts * size)
        self._targets[self._rollouts * size : (self._rollouts + 1) * size] = self._scalars[2]
        if self._update is None:
            self._update = Captured(self._minimise, self.device, [*self._trained(optimizer), self._sums])
        batches = size // self.batch_size
        self._sums.zero_()
        for _ in range(self.n_epochs):
            self._sums[3].zero_()
            for index in torch.randperm(size, device=self.device).split(self.batch_size):
                self._index.copy_(index)
                self._update()
        self._n_updates += self.n_epochs
        policy_loss, value_loss, entropy_loss, divergence, clipped = self._sums.tolist()
        n = batches * self.n_epochs
        for name, value in (
            ("policy_gradient_loss", policy_loss / n),
            ("value_loss", value_loss / n),
            ("entropy_loss", entropy_loss / n),
            ("approx_kl", divergence / batches),  # of the last epoch
            ("clip_fraction", clipped / n),
            ("explained_variance", explained_variance(buffer.values.flatten(), buffer.returns.flatten())),
        ):
            self.logger.record(f"train/{name}", value)
        if self._config.phase:
            self._rollouts += 1
            if self._rollouts == self._config.phase:
                self._auxiliary_phase(optimizer)
                self._rollouts = 0

    def _choose(self) -> None:
        """Folds the frames, draws actions and values them."""
        with torch.no_grad():
            self._seen.copy_(fold(self._raw, self.policy.network.unshuffle))
            logits, values = self.policy.policy_and_value(self._seen)
            logs = F.log_softmax(logits, 1)
            # the argmax of p / Exp(1) has the distribution p; unlike multinomial it never waits for the GPU
            actions = (logs.exp() / torch.empty_like(logs).exponential_()).argmax(1)
            self._acted[0] = actions
            self._acted[1] = values
            self._acted[2] = logs.gather(1, actions[:, None]).squeeze(1)

    def _minimise(self) -> None:
        """One gradient step of the update on the rollout's frames ``_index``."""
        index = self._index
        logits, values = self.policy.policy_and_value(
            self._frames.index_select(0, self._start + index), self._config.phase > 0
        )
        logs = F.log_softmax(logits, 1)
        taken = logs.gather(1, self._actions[index, None]).squeeze(1)
        old, advantages, returns = self._scalars[:, index]
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        ratio = (taken - old).exp()
        clip = self._config.clip
        policy_loss = -torch.min(advantages * ratio, advantages * ratio.clamp(1 - clip, 1 + clip)).mean()
        value_loss = F.mse_loss(values, returns)
        entropy = -(logs.exp() * logs).sum(1).mean()
        self._descend(policy_loss - self._entropy_bonus * entropy + self.vf_coef * value_loss)
        with torch.no_grad():
            divergence = (ratio - 1 - (taken - old)).mean()
            clipped = ((ratio - 1).abs() > clip).float().mean()
            self._sums += torch.stack([policy_loss, value_loss, -entropy, divergence, clipped])

    def _auxiliary_phase(self, optimizer: torch.optim.Optimizer) -> None:
        with torch.inference_mode():
            for rows in torch.arange(len(self._frames), device=self.device).split(FORWARD_BATCH):
                self._old[rows] = F.log_softmax(self.policy.policy_and_value(self._frames[rows])[0], 1)
        if self._auxiliary_update is None:
            self._auxiliary_update = Captured(
                self._minimise_auxiliary, self.device, [*self._trained(optimizer), self._auxiliary_sums]
            )
        self._auxiliary_sums.zero_()
        steps = 0
        for _ in range(self._config.auxiliary_epochs):
            order = torch.randperm(len(self._frames), device=self.device)
            for index in order.split(self._config.auxiliary_size):
                self._auxiliary_index.copy_(index)
                self._auxiliary_update()
                steps += 1
        value_loss, divergence = (self._auxiliary_sums / steps).tolist()
        self.logger.record("auxiliary/value_loss", value_loss)
        self.logger.record("auxiliary/divergence", divergence)

    def _minimise_auxiliary(self) -> None:
        """One gradient step of the auxiliary phase on the phase's frames ``_auxiliary_index``."""
        index = self._auxiliary_index
        logits, values = self.policy.policy_and_value(self._frames.index_select(0, index))
        value_loss = F.mse_loss(values, self._targets[index])
        divergence = F.kl_div(F.log_softmax(logits, 1), self._old[index], reduction="batchmean", log_target=True)
        self._descend(0.5 * value_loss + self._config.cloning * divergence)
        with torch.no_grad():
            self._auxiliary_sums += torch.stack([value_loss, divergence])

    def _descend(self, loss: torch.Tensor) -> None:
        optimizer = self.policy.optimizer
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.policy.network.parameters(), self.max_grad_norm)
        optimizer.step()

    def _look(self, observations: Any) -> None:
        """Draws actions for these frames."""
        self._raw.copy_(torch.from_numpy(observations))
        self._act()

    def _update_learning_rate(self, optimizers: Any) -> None:
        rate = self._config.learning_rate * fall(self._config, self.num_timesteps)
        self.logger.record("train/learning_rate", rate)
        for group in optimizers.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate)  # a CUDA graph reads it where it is
            else:
                group["lr"] = rate

    def _trained(self, optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
        """Returns what a gradient step changes; on a GPU, readies the optimizer for CUDA graphs."""
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if self.device.type != "cuda":
            return parameters
        for group in optimizer.param_groups:
            group["capturable"] = True
            group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32).to(self.device)
        for parameter in parameters:
            state = optimizer.state[parameter]
            state["step"] = torch.as_tensor(state.get("step", 0), dtype=torch.float32).to(self.device)
            for name in ("exp_avg", "exp_avg_sq"):
                state.setdefault(name, torch.zeros_like(parameter))
        moments = [value for parameter in parameters for value in optimizer.state[parameter].values()]
        return [*parameters, *moments]
