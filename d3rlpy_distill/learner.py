"""d3rlpy's discrete BC learner, taken apart: its network, its own loss and its optimizer."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from d3rlpy.algos import DiscreteBC, DiscreteBCConfig
from d3rlpy.torch_utility import convert_to_torch
from torch import nn

__all__ = ["autocast", "build_learner", "keep_heap", "learner_loss", "learner_network", "scale"]


def build_learner(
    config: DiscreteBCConfig,
    observation_shape: Sequence[int],
    action_size: int,
    *,
    seed: int,
    device: str = "cpu:0",
) -> DiscreteBC:
    """Creates a learner whose initial weights depend on ``seed`` alone; torch's global RNG is left as it was.

    Args:
        config: Its configuration.
        observation_shape: Shape of one observation.
        action_size: Number of discrete actions.
        seed: 0 to 2**63 - 1.
        device: torch device.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        learner: DiscreteBC = config.create(device=device)
        learner.create_impl(tuple(observation_shape), action_size)
    network = learner_network(learner)
    if len(observation_shape) == 3:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return learner


def learner_network(learner: DiscreteBC) -> nn.Module:
    """Returns the network: observations (scaled) to a distribution over actions."""
    network: nn.Module = learner.impl.modules.imitator
    return network


def learner_loss(learner: DiscreteBC, x: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    """Returns d3rlpy's own loss, a mean over the batch: negative log-likelihood plus beta times its penalty.

    Args:
        learner: The learner.
        x: Scaled observations ``(B, ...)``.
        actions: int64 ``(B,)``.
    """
    loss: torch.Tensor = learner.impl.compute_loss(x, actions).loss
    return loss


def scale(learner: DiscreteBC, observations: npt.NDArray[Any] | torch.Tensor) -> torch.Tensor:
    """Applies the learner's observation scaler; images come out channels-last, which CPUs prefer.

    Args:
        learner: The learner.
        observations: ``(B, ...)`` of any dtype, an array or a tensor.

    Returns:
        Float32 on the learner's device; differentiable where a float tensor comes in.
    """
    device = learner.impl.device
    if isinstance(observations, np.ndarray):
        if observations.dtype == np.uint8:  # moved and reordered as bytes, a quarter of the traffic
            x = torch.from_numpy(observations).to(device)
        else:
            x = convert_to_torch(observations, device)
    else:
        x = observations.to(device)
    if x.ndim == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    x = x.float()
    scaler = learner.config.observation_scaler
    if scaler is not None:
        x = scaler.transform(x)
    return x


def autocast(device: str) -> torch.autocast:
    """Returns bfloat16 autocast where the device computes in it, else a context that changes nothing."""
    if device.startswith("cuda"):
        return torch.autocast("cuda", torch.bfloat16, enabled=torch.cuda.is_bf16_supported())
    return torch.autocast("cpu", torch.bfloat16, enabled=torch.ops.mkldnn._is_mkldnn_bf16_supported())


@functools.cache
def keep_heap() -> None:
    """Makes glibc keep the memory of freed activations instead of handing it back to the kernel.

    Freeing a block of just under 32 MiB lifts glibc's dynamic mmap threshold to its size and its trim threshold
    to twice that (mallopt(3)). Without it every step faults the same few megabytes in again, which is slow
    on virtual machines. Elsewhere than on glibc it does nothing.
    """
    block = torch.empty(32 * 2**20 - 2**16, dtype=torch.uint8)
    del block
