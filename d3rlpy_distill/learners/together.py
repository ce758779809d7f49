"""Trains several imitators of one configuration at once, as one batched model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from d3rlpy.algos import BCConfig, DiscreteBCConfig
from d3rlpy.optimizers import AdamFactory, AdamWFactory, RMSpropFactory, SGDFactory
from torch import nn

from ..data.transitions import TransitionArrays
from ..errors import SettingsError
from .batch import Batch
from .functional import LearnerLoss, unchecked
from .learner import (
    Learner,
    LearnerConfig,
    autocast,
    build_learner,
    keep_heap,
    learner_network,
    scale,
    scale_labels,
)

__all__ = ["OPTIMIZERS", "train_together"]

OPTIMIZERS = (AdamFactory, AdamWFactory, SGDFactory, RMSpropFactory)
"""Those that treat every weight for itself, whatever module it belongs to."""


def train_together(
    config: LearnerConfig,
    data: Sequence[TransitionArrays],
    n_steps: int,
    *,
    seeds: Sequence[int],
    device: str = "cpu:0",
) -> list[Learner]:
    """Trains K imitators, each as :func:`~.training.train_learner` does, but for rounding.

    Initial weights and batches are those of the seeds, loss and optimizer d3rlpy's. The weights of all are stacked, so
    that a step is one of K times the size. That pays where a step's fixed costs outweigh its arithmetic: small
    networks on vectors and small batches. In bfloat16 the differences of rounding add up over the steps.

    Args:
        config: An imitator's: ``DiscreteBCConfig``, or ``BCConfig`` with a deterministic policy.
        data: What each trains on: as many samples each, of the same shapes, all with soft labels or none.
        n_steps: Gradient steps, 0 or more.
        seeds: One each: of initial weights and batches.
        device: torch device.

    Returns:
        d3rlpy algorithms that predict and save as any others. Their optimizers are new: what moments these had is not
        kept.

    Raises:
        SettingsError: If the configuration is another one, its optimizer is none of :data:`OPTIMIZERS` or clips
            gradients, which stacked ones would share, its network draws at random or keeps more than weights, or
            data and seeds do not fit together.
    """
    _check(config, data, n_steps, seeds)
    keep_heap()
    shape, size = data[0].observations.shape[1:], data[0].action_size
    learners = [build_learner(config, shape, size, seed=seed, device=device) for seed in seeds]
    network = learner_network(learners[0])
    if any(True for _ in network.buffers()) or any(isinstance(one, nn.Dropout) for one in network.modules()):
        raise SettingsError(
            f"{type(config.encoder_factory).__name__} with dropout or batch normalisation: expected a network of "
            "weights alone; train these one after the other."
        )
    samples = _stacked(learners[0], data)
    weights = _Weights([learner_network(learner) for learner in learners])
    optimizer = config.optim_factory.create([("imitators", weights)], config.learning_rate, False)
    for group in optimizer.optim.param_groups:
        if "fused" in group:  # one pass over weights that no cache holds, where torch would take ten
            group["fused"] = True
    rows = _rows(len(data[0]), config.batch_size, n_steps, seeds, device)
    loss = LearnerLoss(learners[0])

    def one(values: dict[str, torch.Tensor], batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
        observations, actions, *soft = batch
        named = {f"network.{name}": value for name, value in values.items()}
        taken = Batch(observations, actions, probabilities=soft[0] if soft else None)
        found: torch.Tensor = torch.func.functional_call(loss, named, (taken,))
        return found

    every, own = torch.func.vmap(one), torch.arange(len(seeds), device=device)[:, None]
    with unchecked():
        for step in range(n_steps):
            batch = tuple(values[own, rows[step]] for values in samples)
            optimizer.optim.zero_grad(set_to_none=True)  # filling with zeros and adding are two passes more
            with autocast(device):
                losses = every(weights.named(), batch)
            losses.sum().backward()
            optimizer.step()
    weights.unstack([learner_network(learner) for learner in learners])
    return learners


def _check(config: LearnerConfig, data: Sequence[TransitionArrays], n_steps: int, seeds: Sequence[int]) -> None:
    optimizer = config.optim_factory
    if not isinstance(config, DiscreteBCConfig) and not (
        isinstance(config, BCConfig) and config.policy_type == "deterministic"
    ):
        raise SettingsError(
            f"{type(config).__name__}: expected DiscreteBCConfig, or BCConfig with a deterministic policy; train "
            "others one after the other."
        )
    if type(optimizer) not in OPTIMIZERS or optimizer.clip_grad_norm is not None:
        raise SettingsError(
            f"{type(optimizer).__name__}, gradients clipped at {optimizer.clip_grad_norm}: expected one of "
            f"{', '.join(one.__name__ for one in OPTIMIZERS)} that clips none; train these one after the other."
        )
    if n_steps < 0:
        raise SettingsError(f"n_steps={n_steps}: expected 0 or more.")
    kinds = {
        (one.observations.shape, one.actions.shape, one.action_size, one.probabilities is None) for one in data
    }
    if len(data) != len(seeds) or len(kinds) != 1:
        sizes = ", ".join(f"{len(one)}{'' if one.probabilities is None else ' soft'}" for one in data)
        raise SettingsError(
            f"data of {sizes} samples for {len(seeds)} seeds: expected one each, of equal size and kind."
        )


class _Weights(nn.Module):
    """The weights of K equal networks, stacked, as an optimizer takes them.

    Matrices lie transposed, as a batched product leaves their gradient: it is copied otherwise.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        every = [dict(network.named_parameters()) for network in networks]
        self._matrices = {name for name, value in every[0].items() if value.ndim == 2}
        self._own = {name: name.replace(".", "/") for name in every[0]}  # a dot is no part of a parameter's name
        for name, own in self._own.items():
            values = [each[name].detach() for each in every]
            stacked = torch.stack([one.T for one in values] if name in self._matrices else values)
            self.register_parameter(own, nn.Parameter(stacked))

    def named(self) -> dict[str, torch.Tensor]:
        """Stacked, by the name of a network."""
        found = {name: self.get_parameter(own) for name, own in self._own.items()}
        return {name: value.mT if name in self._matrices else value for name, value in found.items()}

    def unstack(self, networks: Sequence[nn.Module]) -> None:
        """Writes them into networks."""
        named = self.named()
        with torch.no_grad():
            for k, network in enumerate(networks):
                for name, value in network.named_parameters():
                    value.copy_(named[name][k])


def _stacked(learner: Learner, data: Sequence[TransitionArrays]) -> list[torch.Tensor]:
    """Observations, actions and soft labels if there are any, scaled, ``(K, N, ...)`` each."""
    device = learner.impl.device
    parts: list[list[torch.Tensor]] = []
    for one in data:
        actions = scale_labels(learner, torch.from_numpy(one.actions).to(device))[0]
        own = [scale(learner, np.asarray(one.observations[:])), actions]
        if one.probabilities is not None:
            own.append(torch.from_numpy(one.probabilities).to(device))
        parts.append(own)
    return [torch.stack(values) for values in zip(*parts, strict=True)]


def _rows(n: int, batch_size: int, n_steps: int, seeds: Sequence[int], device: str) -> torch.Tensor:
    """The batches of each, int64 ``(n_steps, K, B)``, as one after the other draws them."""
    drawn = [np.random.default_rng(seed).integers(n, size=(n_steps, batch_size)) for seed in seeds]
    return torch.from_numpy(np.stack(drawn, 1)).to(device)
