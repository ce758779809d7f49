"""Trains several imitators of one configuration at once, as one batched model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
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
    is_value_based,
    keep_heap,
    learner_network,
    scale,
    scale_labels,
)

__all__ = ["train_together"]


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
    networks on vectors and small batches.

    Args:
        config: An imitator's.
        data: What each trains on, as many samples each.
        n_steps: Gradient steps, 0 or more.
        seeds: One each: of initial weights and batches.
        device: torch device.

    Returns:
        d3rlpy algorithms that predict, save and load as any others.

    Raises:
        SettingsError: If it is no imitator, its optimizer clips gradients, which stacked ones would share, or numbers
            of data, samples or seeds differ.
    """
    if is_value_based(config) or config.optim_factory.clip_grad_norm is not None:
        raise SettingsError(
            f"{type(config).__name__}, gradients clipped at {config.optim_factory.clip_grad_norm}: expected an "
            "imitator whose optimizer clips none; train the others one after the other."
        )
    if len(data) != len(seeds) or len({len(one) for one in data}) != 1:
        sizes = ", ".join(str(len(one)) for one in data)
        raise SettingsError(f"data of {sizes} samples for {len(seeds)} seeds: expected one each, of equal size.")
    keep_heap()
    shape, size = data[0].observations.shape[1:], data[0].action_size
    learners = [build_learner(config, shape, size, seed=seed, device=device) for seed in seeds]
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
