"""d3rlpy's learners, taken apart: their networks, their own losses and their optimizers."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from d3rlpy.algos import (
    BC,
    DQN,
    BCConfig,
    DiscreteBC,
    DiscreteBCConfig,
    DiscreteCQL,
    DiscreteCQLConfig,
    DoubleDQN,
    DoubleDQNConfig,
    DQNConfig,
)
from d3rlpy.algos.qlearning.base import QLearningAlgoBase
from d3rlpy.algos.transformer.base import TransformerAlgoBase
from d3rlpy.base import LearnableConfig
from d3rlpy.torch_utility import TorchMiniBatch, convert_to_torch
from torch import nn

from .batch import Batch
from .soft_cloning import soft_cloning_loss

__all__ = [
    "LEARNER_CONFIGS",
    "PIECE",
    "AnyLearner",
    "Learner",
    "LearnerConfig",
    "autocast",
    "build_learner",
    "imitator_actions",
    "imitator_logits",
    "is_value_based",
    "keep_heap",
    "learner_features",
    "learner_loss",
    "learner_network",
    "scale",
    "scale_labels",
]

_SEEDING = threading.RLock()  # torch's generator is one for all threads
PIECE = 64  # images at once: the activations of the paper's student then fit a CPU's cache

Learner: TypeAlias = "DiscreteBC | BC | DQN | DoubleDQN | DiscreteCQL"
LearnerConfig: TypeAlias = "DiscreteBCConfig | BCConfig | DQNConfig | DoubleDQNConfig | DiscreteCQLConfig"
AnyLearner: TypeAlias = "QLearningAlgoBase[Any, Any] | TransformerAlgoBase[Any, Any]"
"""Any of d3rlpy's algorithms, those that nothing is matched on included."""
LEARNER_CONFIGS = (DiscreteBCConfig, BCConfig, DQNConfig, DoubleDQNConfig, DiscreteCQLConfig)


def is_value_based(learner: Learner | LearnerConfig) -> bool:
    """Tells whether the learner fits action values (and so reads rewards) rather than imitating."""
    return not isinstance(learner, (DiscreteBC, BC, DiscreteBCConfig, BCConfig))


def build_learner(
    config: LearnableConfig,
    observation_shape: Sequence[int],
    action_size: int,
    *,
    seed: int,
    device: str = "cpu:0",
) -> AnyLearner:
    """Creates a learner whose initial weights depend on ``seed`` alone; torch's global RNG is left as it was.

    Args:
        config: Its configuration, one of d3rlpy's.
        observation_shape: Shape of one observation.
        action_size: Number of discrete actions, or of the dimensions of a continuous one.
        seed: 0 to 2**63 - 1.
        device: torch device.
    """
    with _SEEDING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        learner = config.create(device=device)
        learner.create_impl(tuple(observation_shape), action_size)
    if len(observation_shape) == 3:
        for module in learner.impl.modules.get_torch_modules().values():
            module.to(memory_format=torch.channels_last)
    return learner


def learner_network(learner: Learner) -> nn.Module:
    """Returns what is trained: the policy of an imitator, or the action-value function."""
    modules = learner.impl.modules
    network: nn.Module = modules.q_funcs if is_value_based(learner) else modules.imitator
    return network


def learner_features(learner: DiscreteBC | BC, observations: torch.Tensor) -> torch.Tensor:
    """Returns what an imitator's last layer reads, ``(B, F)``, for scaled observations; differentiable."""
    encoder: nn.Module = learner.impl.modules.imitator._encoder
    features: torch.Tensor = encoder(observations)
    return features


def learner_loss(learner: Learner, batch: Batch) -> torch.Tensor:
    """Returns d3rlpy's own loss, a mean over the batch.

    For ``DiscreteBC`` the negative log-likelihood plus beta times its penalty, for soft labels
    :func:`~.soft_cloning.soft_cloning_loss`, which is ours; for ``BC`` the squared error; for the Q-learners
    the Huber loss of the temporal difference against the target network, and the conservative
    term of CQL.

    Args:
        learner: The learner.
        batch: Transitions; with rewards and terminals for a Q-learner.
    """
    impl = learner.impl
    if batch.probabilities is not None:
        return soft_cloning_loss(
            learner_network(learner), batch.observations, batch.probabilities, learner.config.beta
        )
    if not is_value_based(learner):
        loss: torch.Tensor = impl.compute_loss(batch.observations, batch.actions).loss
        return loss
    assert batch.rewards is not None and batch.terminals is not None
    following = batch.next_observations
    whole = TorchMiniBatch(
        observations=batch.observations,
        actions=batch.actions[:, None],
        rewards=batch.rewards[:, None],
        next_observations=batch.observations.detach() if following is None else following,
        next_actions=batch.actions[:, None],
        returns_to_go=torch.zeros_like(batch.rewards[:, None]),
        terminals=batch.terminals[:, None],
        intervals=torch.ones_like(batch.terminals[:, None]),
        device=impl.device,
    )
    # where all are terminal, whatever the target is, it is multiplied by 0
    target = torch.zeros_like(whole.rewards) if following is None else impl.compute_target(whole)
    td_loss: torch.Tensor = impl.compute_loss(whole, target).loss
    return td_loss


def scale(learner: Learner, observations: npt.NDArray[Any] | torch.Tensor) -> torch.Tensor:
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


def imitator_logits(learner: DiscreteBC, observations: torch.Tensor) -> torch.Tensor:
    """Maps observations of any dtype ``(B, ...)``, in the data's units, to float32 logits ``(B, A)`` on the CPU.

    Without gradients, in pieces, in bfloat16 where the device has it.
    """
    imitator, out = learner.impl.modules.imitator, []
    with torch.no_grad():
        for piece in observations.split(PIECE):
            x = scale(learner, piece)
            with autocast(x.device.type):
                logits = imitator._fc(imitator._encoder(x))
                # what a Categorical does, which checks its numbers, too: that takes a while
                out.append((logits - logits.logsumexp(-1, keepdim=True)).float().cpu())
    return torch.cat(out)


def imitator_actions(learner: BC, observations: torch.Tensor) -> torch.Tensor:
    """Maps observations of any dtype ``(B, ...)``, in the data's units, to float32 actions ``(B, D)`` on the CPU.

    Without gradients, in float32, in the units of the data's actions.
    """
    scaler, out = learner.config.action_scaler, []
    with torch.no_grad():
        for piece in observations.split(PIECE):
            action = learner.impl.inner_predict_best_action(scale(learner, piece))
            out.append(action if scaler is None else scaler.reverse_transform(action))
    return torch.cat(out).float().cpu()


def scale_labels(
    learner: Learner, actions: torch.Tensor, rewards: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Applies the learner's action and reward scalers, where it has them; differentiable."""
    config = learner.config
    if config.action_scaler is not None:
        actions = config.action_scaler.transform(actions)
    if rewards is not None and config.reward_scaler is not None:
        rewards = config.reward_scaler.transform(rewards)
    return actions, rewards


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
