"""Training by d3rlpy's own ``fit``, seeded and silent."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from d3rlpy.base import LearnableConfig
from d3rlpy.dataset import ReplayBufferBase

from .learner import AnyLearner, build_learner, keep_heap
from .quick_batches import quick_batches
from .watching import SILENT, Watching

__all__ = ["fit_stock", "load_networks", "networks", "seeded"]


def fit_stock(
    config: LearnableConfig,
    buffer: ReplayBufferBase,
    observation_shape: Sequence[int],
    n_steps: int,
    *,
    seed: int,
    device: str,
    watching: Watching = SILENT,
) -> AnyLearner:
    """Trains with d3rlpy's own ``fit`` and returns the learner.

    Its networks are created beforehand, in channels-last memory: on a CPU ``fit`` then takes 0.4 to 0.7 of
    the time (``benchmarks/speed/stock_fit_speed.py``). Batches of vectors are drawn by
    :func:`~.quick_batches.quick_batches`, the same ones.

    Args:
        config: d3rlpy's configuration.
        buffer: What to train on.
        observation_shape: Shape of one observation as the networks read it, channels first.
        n_steps: Gradient steps.
        seed: Fixes initial weights and batches.
        device: torch device.
        watching: Who is told.
    """
    keep_heap()
    told = watching.on_step
    with seeded(seed):  # to make a buffer draws from NumPy's global generator
        batches = quick_batches(buffer)
    with seeded(seed):
        learner = build_learner(
            config, observation_shape, buffer.dataset_info.action_size, seed=seed, device=device
        )
        learner.fit(
            batches,
            n_steps=n_steps,
            n_steps_per_epoch=watching.epoch(n_steps),
            logger_adapter=watching.adapter,
            show_progress=watching.show_progress,
            callback=None if told is None else lambda algo, epoch, step: told(step),
        )
    return learner


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds the global generators that d3rlpy draws from, and puts them back afterwards."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002


def networks(learner: AnyLearner) -> dict[str, torch.Tensor]:
    """Returns the weights of all of a learner's networks, by network and name."""
    modules = learner.impl.modules.get_torch_modules()
    # copies, because some networks share an encoder and safetensors stores no shared memory
    return {
        f"{name}.{key}": value.clone()
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }


def load_networks(learner: AnyLearner, weights: Mapping[str, torch.Tensor]) -> None:
    """Inverse of :func:`networks`, into a learner of the same configuration."""
    for name, module in learner.impl.modules.get_torch_modules().items():
        prefix = f"{name}."
        module.load_state_dict({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})
