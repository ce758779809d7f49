"""The IMPALA network as a stable-baselines3 policy."""

from __future__ import annotations

import math
from typing import Any

import torch
from stable_baselines3.common.distributions import CategoricalDistribution, Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.type_aliases import Schedule
from torch import nn

from d3rlpy_distill.students.impala_encoder import ImpalaNetwork

from ..expert import FRAME_SHAPE
from ..games import N_ACTIONS
from .environment import FRAME

__all__ = ["ImpalaPolicy", "computes_bfloat16", "fold"]

PIECES = {"impala": 64, "impala-s2d": 256, "impoola-s2d": 256}
"""Frames whose activations a core's cache holds; a whole minibatch at once is 1.2 times slower."""

BLOCK_NORM, DENSE_NORM = 1.0, 1.4
RESIDUAL_NORM = (1 / math.sqrt(3 * 2)) ** 0.5  # of three blocks with two residual parts each


def computes_bfloat16(device: torch.device) -> bool:
    """Returns whether the device multiplies in bfloat16 natively."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def fold(frames: torch.Tensor, factor: int) -> torch.Tensor:
    """Folds pixels into channels as :func:`torch.nn.functional.pixel_unshuffle` does, on channels-last bytes.

    Args:
        frames: Bytes of frames ``(64, 64, 3)``, uint8 ``(B, 12288)``.
        factor: Pixels along each axis that become channels; 1 changes nothing.

    Returns:
        Bytes of frames ``(64 / factor, 64 / factor, 3 * factor**2)``, uint8 ``(B, 12288)``.
    """
    if factor == 1:
        return frames
    height, width, channels = FRAME
    parts = frames.view(-1, height // factor, factor, width // factor, factor, channels)
    return parts.permute(0, 1, 3, 5, 2, 4).reshape(len(frames), -1)


@torch.no_grad()
def _scale(network: ImpalaNetwork) -> None:
    """Gives the weights of each output a fixed norm and zeroes the biases, as Cobbe et al. 2021 (PPG) do.

    torch's own initial weights let features differ ten times less between frames: too little for the heads to see.
    The heads' weights are set after this.
    """
    for name, layer in network.named_modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear) or layer.bias is None:
            continue
        norm = DENSE_NORM if name == "fc" else RESIDUAL_NORM if ".res" in name else BLOCK_NORM
        rows = layer.weight.flatten(1).norm(dim=1)
        layer.weight.mul_((norm / rows).unflatten(0, (-1, *[1] * (layer.weight.ndim - 1))))
        layer.bias.zero_()


class ImpalaPolicy(ActorCriticPolicy):
    """Actor and critic on one :class:`ImpalaNetwork`; takes flat observations, folded by :func:`fold`.

    Args:
        observation_space: The environment's.
        action_space: The environment's.
        lr_schedule: stable-baselines3's schedule of the learning rate.
        architecture: One of :data:`~d3rlpy_distill.students.impala_encoder.ARCHITECTURES`.
        bfloat16: Compute under bfloat16 autocast; weights, heads' outputs and losses stay float32.
        channels_last: Keep activations channels-last.
        detached: Train the value head, but not the features, on the value loss of :meth:`evaluate_actions`.
        **kwargs: What stable-baselines3 passes on.
    """

    def __init__(
        self,
        observation_space: Any,
        action_space: Any,
        lr_schedule: Schedule,
        *,
        architecture: str,
        bfloat16: bool,
        channels_last: bool,
        detached: bool = False,
        **kwargs: Any,
    ) -> None:
        self._architecture = architecture  # before super().__init__, which calls _build
        self._bfloat16 = bfloat16
        self._detached = detached
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch=[],
            features_extractor_class=FlattenExtractor,
            **kwargs,
        )

    def _build(self, lr_schedule: Schedule) -> None:
        self.network = ImpalaNetwork(FRAME_SHAPE, N_ACTIONS, self._architecture).to(memory_format=self._format)
        _scale(self.network)
        # a nearly uniform first policy explores; PPO with a confident random one does not
        for head, gain in ((self.network.policy, 0.01), (self.network.value, 1.0)):
            nn.init.orthogonal_(head.weight, gain)
            nn.init.zeros_(head.bias)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=lr_schedule(1), eps=1e-5)

    def policy_and_value(
        self, observations: torch.Tensor, detached: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Maps observations uint8 ``(B, 12288)`` to float32 logits ``(B, 15)`` and values ``(B,)``.

        Args:
            observations: Bytes that :func:`fold` folded as the network needs.
            detached: Keep the values' gradient from the features.
        """
        network, factor = self.network, self.network.unshuffle
        height, width, channels = FRAME
        shape = (height // factor, width // factor, channels * factor**2)
        frames = observations.unflatten(1, shape).permute(0, 3, 1, 2)
        dtype = torch.bfloat16 if self._bfloat16 else torch.float32
        outputs = []
        with torch.autocast(frames.device.type, torch.bfloat16, enabled=self._bfloat16):
            for piece in frames.split(PIECES[self._architecture] if frames.device.type == "cpu" else len(frames)):
                x = piece.to(dtype, memory_format=self._format) / 255
                features = network.features(x)
                values = network.value(features.detach() if detached else features).squeeze(1)
                outputs.append((network.policy(features), values))
        logits, all_values = zip(*outputs, strict=True)
        return torch.cat(logits).float(), torch.cat(all_values).float()

    def logits(self, observations: torch.Tensor) -> torch.Tensor:
        """Maps frames uint8 ``(B, 3, 64, 64)`` to float32 logits ``(B, 15)`` on the CPU, for a rollout."""
        with torch.inference_mode():
            flat = observations.permute(0, 2, 3, 1).flatten(1).to(self.device)
            return self.policy_and_value(fold(flat, self.network.unshuffle))[0].cpu()

    def forward(
        self, obs: torch.Tensor, deterministic: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Returns actions ``(B,)``, values ``(B, 1)`` and log-probabilities ``(B,)``."""
        distribution, values = self._distribution(obs)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, values[:, None], distribution.log_prob(actions)

    def evaluate_actions(
        self, obs: Any, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Returns values ``(B, 1)``, the actions' log-probabilities ``(B,)`` and entropies ``(B,)``."""
        distribution, values = self._distribution(obs, self._detached)
        return values[:, None], distribution.log_prob(actions), distribution.entropy()

    def predict_values(self, obs: Any) -> torch.Tensor:
        """Returns values ``(B, 1)``."""
        return self.policy_and_value(obs)[1][:, None]

    def get_distribution(self, obs: Any) -> Distribution:
        """Returns the distribution over the 15 actions."""
        return self._distribution(obs)[0]

    def _distribution(
        self, obs: torch.Tensor, detached: bool = False
    ) -> tuple[CategoricalDistribution, torch.Tensor]:
        logits, values = self.policy_and_value(obs, detached)
        return CategoricalDistribution(N_ACTIONS).proba_distribution(logits), values
