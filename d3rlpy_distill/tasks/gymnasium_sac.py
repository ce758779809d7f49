"""stable-baselines3's SAC whose updates are one CUDA graph on a GPU."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from stable_baselines3 import SAC
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.common.vec_env import VecEnv
from torch import nn

from ..learners.captured import Captured
from .gymnasium_replay import PackedReplay

__all__ = ["CapturedSac", "Draws", "Twins"]

EPSILON = 1e-6  # in the logarithm of tanh's slope, as in stable-baselines3


class Draws:
    """What a round of updates draws at random.

    Args:
        indices: Transitions, int64 ``(U, B)``, for U updates of B transitions.
        noise: Standard normal, ``(U, 2, B, D)``: of the actions on the observations, and on the next ones.
    """

    def __init__(self, indices: torch.Tensor, noise: torch.Tensor) -> None:
        self.indices, self.noise = indices, noise


class Twins:
    """The critics of SAC as one network with a leading axis: half as many kernels as one after the other.

    The networks stay what they are; their weights become parts of the stacked ones.

    Args:
        critic: n networks ``(O + D) -> 1`` of linear layers and ReLU.
    """

    def __init__(self, critic: ContinuousCritic) -> None:
        networks = [[one for one in net.children() if isinstance(one, nn.Linear)] for net in critic.q_networks]
        self.parameters: list[torch.Tensor] = []
        for layers in zip(*networks, strict=True):
            weight = torch.stack([one.weight.detach() for one in layers])
            bias = torch.stack([one.bias.detach() for one in layers])
            for i, one in enumerate(layers):
                one.weight.data, one.bias.data = weight[i], bias[i]
            self.parameters += [weight.requires_grad_(), bias.requires_grad_()]

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Maps observations and actions ``(B, O + D)`` to values ``(n, B, 1)``."""
        hidden = inputs.expand(len(self.parameters[0]), -1, -1)
        for i in range(0, len(self.parameters), 2):
            weight, bias = self.parameters[i : i + 2]
            hidden = torch.baddbmm(bias.unsqueeze(1), hidden, weight.transpose(1, 2))
            if i + 2 < len(self.parameters):
                hidden = hidden.relu()
        return hidden


class CapturedSac(SAC):
    """SAC (arXiv 1812.05905) with the updates of stable-baselines3, on vectors, without a word to the CPU.

    All updates of a round are one CUDA graph: they draw their batches from the memory's copy on the GPU. On the CPU
    the same updates are plain calls. The learning rate is constant.

    Args:
        policy: ``"MlpPolicy"``.
        env: Environments whose observations are vectors.
        settings: See :class:`stable_baselines3.SAC`.
    """

    replay_buffer: PackedReplay

    def __init__(self, policy: str, env: VecEnv, **settings: Any) -> None:
        super().__init__(policy, env, replay_buffer_class=PackedReplay, **settings)

    def _setup_model(self) -> None:
        super()._setup_model()
        self._twins, self._targets = Twins(self.critic), Twins(self.critic_target)
        self.critic.optimizer = self._adam(self._twins.parameters)
        self.actor.optimizer = self._adam(list(self.actor.parameters()))
        assert self.log_ent_coef is not None and isinstance(self.target_entropy, float)
        self.ent_coef_optimizer = self._adam([self.log_ent_coef])
        self._losses = torch.zeros(4, device=self.device)
        self._rounds: dict[tuple[int, int], Captured | None] = {}

    def _adam(self, parameters: Sequence[torch.Tensor]) -> torch.optim.Adam:
        """As stable-baselines3 has it; on a GPU, one that a graph can hold."""
        return torch.optim.Adam(parameters, lr=self.lr_schedule(1), fused=self._on_gpu, capturable=self._on_gpu)

    @property
    def _on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def _optimizers(self) -> list[torch.optim.Optimizer]:
        assert self.ent_coef_optimizer is not None
        return [self.actor.optimizer, self.critic.optimizer, self.ent_coef_optimizer]

    def set_parameters(
        self, load_path_or_dict: Any, exact_match: bool = True, device: torch.device | str = "auto"
    ) -> None:
        """Sets weights and optimizers, of a run on another device, too."""
        adapted: Any = {name: self._adapted(value) for name, value in load_path_or_dict.items()}
        super().set_parameters(adapted, exact_match, device)

    def _adapted(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        if "param_groups" not in state:
            return state
        here = {"fused": self._on_gpu, "capturable": self._on_gpu}
        return {**state, "param_groups": [group | here for group in state["param_groups"]]}

    def actor_weights(self, *, critic: bool = False) -> dict[str, torch.Tensor]:
        """Returns the actor's weights on the CPU, and on request the critics' as ``critic.qf0.0.weight`` and so on."""
        weights = dict(self.actor.state_dict())
        if critic:
            weights |= {f"critic.{name}": value for name, value in self.critic.state_dict().items()}
        return {name: value.detach().cpu() for name, value in weights.items()}

    def train(self, gradient_steps: int, batch_size: int = 64) -> None:
        """Makes updates; see :class:`stable_baselines3.SAC`."""
        key = (gradient_steps, batch_size)
        if key not in self._rounds:  # the first round makes the optimizers' states, which a graph needs
            self._rounds[key] = None
            self._round(*key)
        else:
            captured = self._rounds[key]
            if captured is None:
                captured = Captured(lambda: self._round(*key), self.device, self._changed())
                self._rounds[key] = captured
            captured()
        self._n_updates += gradient_steps
        self._log()

    def _changed(self) -> list[torch.Tensor]:
        assert self.log_ent_coef is not None
        moments = [
            value
            for optimizer in self._optimizers
            for state in optimizer.state.values()
            for value in state.values()
        ]
        weights = [*self.actor.parameters(), *self._twins.parameters, *self._targets.parameters]
        return [*weights, self.log_ent_coef, *moments]

    def draw(self, updates: int, batch_size: int) -> Draws:
        """Draws for U updates: transitions with replacement, uniformly, and noise."""
        n, size = updates * batch_size, self.replay_buffer.action_dim
        uniform = torch.rand(n, dtype=torch.float64, device=self.device)
        indices = (uniform * self.replay_buffer.filled).long().reshape(updates, batch_size)
        return Draws(indices, torch.randn(updates, 2, batch_size, size, device=self.device))

    def _round(self, updates: int, batch_size: int) -> None:
        draws = self.draw(updates, batch_size)
        rows = self.replay_buffer.gather(draws.indices.reshape(-1)).reshape(updates, batch_size, -1)
        for one, noise in zip(rows, draws.noise, strict=True):
            self._update(one, noise)

    def _update(self, rows: torch.Tensor, noise: torch.Tensor) -> None:
        """One update of the temperature, the critics, the actor and the targets, in this order.

        Args:
            rows: Of the memory, ``(B, W)``.
            noise: ``(2, B, D)``.
        """
        batch = self.replay_buffer.columns(rows)
        assert self.log_ent_coef is not None and isinstance(self.target_entropy, float)
        actor, critic, temperature = self._optimizers
        actions, log_prob = self._act(batch.observations, noise[0])
        alpha = self.log_ent_coef.detach().exp()
        alpha_loss = -self.log_ent_coef * (log_prob.detach().mean() + self.target_entropy)
        _descend(temperature, alpha_loss, [self.log_ent_coef])

        with torch.no_grad():
            next_actions, next_log_prob = self._act(batch.next_observations, noise[1])
            following = self._targets(torch.cat([batch.next_observations, next_actions], 1))
            value = following.amin(0) - alpha * next_log_prob
            target = batch.rewards + (1 - batch.over) * self.gamma * value
        taken = rows[:, : batch.observations.shape[1] + batch.actions.shape[1]]  # they stand beside each other
        critic_loss = 0.5 * (self._twins(taken) - target).square().mean(1).sum()
        _descend(critic, critic_loss, self._twins.parameters)

        values = self._twins(torch.cat([batch.observations, actions], 1))
        actor_loss = (alpha * log_prob - torch.minimum(values[0], values[1])).mean()
        _descend(actor, actor_loss, list(self.actor.parameters()))

        with torch.no_grad():
            torch._foreach_lerp_(self._targets.parameters, self._twins.parameters, self.tau)
            losses = [alpha, alpha_loss, critic_loss, actor_loss]
            torch.stack([one.detach().reshape(()) for one in losses], out=self._losses)

    def _act(self, observations: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns actions ``tanh(mean + std * noise)``, ``(B, D)``, and their log-probabilities ``(B, 1)``."""
        mean, log_std, _ = self.actor.get_action_dist_params(observations)
        actions = torch.tanh(mean + log_std.exp() * noise)
        log_normal = -0.5 * noise.square() - 0.5 * math.log(2 * math.pi) - log_std
        return actions, (log_normal - torch.log(1 - actions.square() + EPSILON)).sum(1, keepdim=True)

    def _log(self) -> None:
        """Records the last update's losses, if anybody reads them: it would wait for the GPU."""
        logger: Logger = self.logger
        if logger.output_formats:
            names = ("ent_coef", "ent_coef_loss", "critic_loss", "actor_loss")
            for name, value in zip(names, self._losses.tolist(), strict=True):
                logger.record(f"train/{name}", value)
            logger.record("train/n_updates", self._n_updates, exclude="tensorboard")


def _descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor, parameters: Sequence[torch.Tensor]) -> None:
    for one, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        one.grad = gradient.contiguous()  # a transposed product's is not, and fused Adam refuses it
    optimizer.step()
