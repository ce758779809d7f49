"""d3rlpy's discrete algorithms as students: how each is configured, and how each acts once trained."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from d3rlpy.algos import (
    DiscreteBCQConfig,
    DiscreteCQLConfig,
    DiscreteDecisionTransformerConfig,
    DiscreteSACConfig,
    DQNConfig,
)
from d3rlpy.dataset import ReplayBuffer
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.preprocessing import PixelObservationScaler

from ..encoders import PaperEncoderFactory
from ..learner import PIECE, build_learner, keep_heap, scale
from ..presets import Budget, paper_student
from ..transitions import TransitionArrays
from .players import Policy, StudentPolicy

__all__ = ["ALGORITHMS", "Algorithm", "fit_stock", "load_networks", "networks", "seeded"]

LEARNING_RATE = 1e-3
CERTAIN = 1e4  # a logit that softmax turns into probability 1
TARGET_PERCENTILE = 90


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """One of d3rlpy's algorithms with the paper's network.

    Args:
        config: d3rlpy's configuration for a budget.
        policy: How it acts: from the trained learner and the data it was trained on.
        one_step: Whether it trains on one-step episodes whatever the data: the decision transformer of context 1,
            whose return-to-go then is the sample's reward, at the same time step always.
    """

    config: Callable[[Budget], Any]
    policy: Callable[[Any, TransitionArrays], Policy]
    one_step: bool = False


class _Pieces:
    """Evaluates observations in pieces, in float32: values of rival actions differ too little for bfloat16."""

    def __init__(self, learner: Any) -> None:
        self._learner = learner
        learner.impl.modules.set_eval()  # the transformer has dropout

    def logits(self, observations: torch.Tensor) -> torch.Tensor:
        """Maps observations of any dtype ``(B, ...)`` to float32 logits ``(B, A)``."""
        out = []
        with torch.no_grad():
            for piece in observations.split(PIECE):
                out.append(self._logits(scale(self._learner, piece)).float().cpu())
        return torch.cat(out)

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class BestActionPolicy(_Pieces):
    """The action that a value-based learner holds best, with certainty: sampled and greedy play are the same."""

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        best = self._learner.impl.inner_predict_best_action(x)
        return CERTAIN * F.one_hot(best, self._learner.impl.action_size).float()


class ActorPolicy(_Pieces):
    """The stochastic actor of soft actor-critic."""

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._learner.impl.modules.policy(x).logits
        return logits


class ReturnConditionedPolicy(_Pieces):
    """A decision transformer of context 1, asked for a return that 10% of its training samples reached.

    Args:
        learner: The transformer.
        data: What it was trained on.
    """

    def __init__(self, learner: Any, data: TransitionArrays) -> None:
        super().__init__(learner)
        self._target = float(np.percentile(data.returns_to_go, TARGET_PERCENTILE))

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        one = torch.ones(len(x), 1, device=x.device)
        _, logits = self._learner.impl.modules.transformer(
            x[:, None],
            torch.zeros(len(x), 1, 1, device=x.device),
            self._target * one[..., None],
            one.long(),
            torch.zeros_like(one),
        )
        out: torch.Tensor = logits[:, 0]
        return out


def _q_learner(config: Any) -> Callable[[Budget], Any]:
    return lambda budget: config(
        batch_size=budget.batch_size,
        learning_rate=LEARNING_RATE,
        encoder_factory=PaperEncoderFactory(),
        observation_scaler=PixelObservationScaler(),
        target_update_interval=max(1, budget.n_steps // 10),
    )


def _sac(budget: Budget) -> Any:
    return DiscreteSACConfig(
        batch_size=budget.batch_size,
        actor_learning_rate=LEARNING_RATE,
        critic_learning_rate=LEARNING_RATE,
        temp_learning_rate=LEARNING_RATE,
        actor_encoder_factory=PaperEncoderFactory(),
        critic_encoder_factory=PaperEncoderFactory(),
        observation_scaler=PixelObservationScaler(),
        target_update_interval=max(1, budget.n_steps // 10),
    )


def _transformer(budget: Budget) -> Any:
    tokens = budget.n_steps * budget.batch_size
    return DiscreteDecisionTransformerConfig(
        batch_size=budget.batch_size,
        learning_rate=LEARNING_RATE,
        encoder_factory=PaperEncoderFactory(),
        observation_scaler=PixelObservationScaler(),
        context_size=1,
        num_heads=4,
        num_layers=2,
        warmup_tokens=max(1, tokens // 10),
        final_tokens=tokens,
    )


ALGORITHMS: Mapping[str, Algorithm] = {
    "bc": Algorithm(paper_student, lambda learner, data: StudentPolicy(learner)),
    "cql": Algorithm(_q_learner(DiscreteCQLConfig), lambda learner, data: BestActionPolicy(learner)),
    "bcq": Algorithm(_q_learner(DiscreteBCQConfig), lambda learner, data: BestActionPolicy(learner)),
    "dqn": Algorithm(_q_learner(DQNConfig), lambda learner, data: BestActionPolicy(learner)),
    "sac": Algorithm(_sac, lambda learner, data: ActorPolicy(learner)),
    "dt": Algorithm(_transformer, ReturnConditionedPolicy, one_step=True),
}
"""By the names that the command line takes."""


def fit_stock(
    config: Any,
    buffer: ReplayBuffer,
    observation_shape: Sequence[int],
    n_steps: int,
    *,
    seed: int,
    device: str,
    on_step: Callable[[int], None],
) -> Any:
    """Trains with d3rlpy's own ``fit`` and returns the learner.

    Its networks are created beforehand, in channels-last memory: on a CPU ``fit`` then takes 0.4 to 0.7 of
    the time (``benchmarks/stock_fit_speed.py``).

    Args:
        config: d3rlpy's configuration.
        buffer: What to train on.
        observation_shape: Shape of one observation as the networks read it, channels first.
        n_steps: Gradient steps.
        seed: Fixes initial weights and batches.
        device: torch device.
        on_step: Called with each step taken.
    """
    keep_heap()
    with seeded(seed):
        learner = build_learner(
            config, observation_shape, buffer.dataset_info.action_size, seed=seed, device=device
        )
        settings: dict[str, Any] = {"n_steps": n_steps, "n_steps_per_epoch": n_steps}
        settings |= {"logger_adapter": NoopAdapterFactory(), "show_progress": False}
        learner.fit(buffer, callback=lambda algo, epoch, step: on_step(step), **settings)
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


def networks(learner: Any) -> dict[str, torch.Tensor]:
    """Returns the weights of all of a learner's networks, which :class:`.store.EvaluationStore` keeps."""
    modules = learner.impl.modules.get_torch_modules()
    # copies, because some networks share an encoder and safetensors stores no shared memory
    return {
        f"{name}.{key}": value.clone()
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }


def load_networks(learner: Any, weights: Mapping[str, torch.Tensor]) -> None:
    """Inverse of :func:`networks`, into a learner of the same configuration."""
    for name, module in learner.impl.modules.get_torch_modules().items():
        prefix = f"{name}."
        module.load_state_dict({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})
