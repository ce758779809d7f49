"""d3rlpy's algorithms as students, trained by its own ``fit`` with the network that suits the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from d3rlpy.base import LearnableConfig
from d3rlpy.constants import ActionSpace
from d3rlpy.logging import LoggerAdapterFactory
from d3rlpy.models.encoders import DefaultEncoderFactory, EncoderFactory
from d3rlpy.preprocessing import MinMaxActionScaler

from ..data import OfflineDataset
from ..data.training_set import TrainingSet
from ..errors import UnsuitableDatasetError
from ..learners.learner import PIECE, AnyLearner, scale
from ..learners.stock import fit_stock, load_networks, networks, seeded
from ..learners.watching import Watching
from ..policies import Policy
from .base import Budget, Student, fitted, observation_scaler, smallest_side
from .nature import SMALLEST_SIDE as DEFAULT_SIDE
from .paper_encoder import SMALLEST_SIDE, PaperEncoderFactory

__all__ = [
    "LEARNING_RATE",
    "BestActionPolicy",
    "ContinuousActionPolicy",
    "LogitsPolicy",
    "StockStudent",
    "target_interval",
]

CERTAIN = 1e4  # a logit that softmax turns into probability 1
LEARNING_RATE = 1e-3


class PiecewisePolicy:
    """Evaluates observations in pieces, in float32: values of rival actions differ too little for bfloat16.

    Args:
        learner: Trained by :func:`~..learners.stock.fit_stock`.
    """

    def __init__(self, learner: AnyLearner) -> None:
        self._learner = learner
        learner.impl.modules.set_eval()  # the transformer has dropout

    def in_pieces(self, observations: torch.Tensor) -> torch.Tensor:
        """Maps observations of any dtype ``(B, ...)`` to float32 outputs ``(B, ...)`` on the CPU."""
        with torch.no_grad():
            pieces = [
                self.evaluate(scale(self._learner, piece)).float().cpu() for piece in observations.split(PIECE)
            ]
        return torch.cat(pieces)

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        """Maps scaled observations ``(B, ...)`` to outputs ``(B, ...)``."""
        raise NotImplementedError


class LogitsPolicy(PiecewisePolicy):
    """A policy of discrete actions, whose outputs are logits."""

    def logits(self, observations: torch.Tensor) -> torch.Tensor:
        """Maps observations of any dtype ``(B, ...)`` to float32 logits ``(B, A)``."""
        return self.in_pieces(observations)


class BestActionPolicy(LogitsPolicy):
    """The action that a learner holds best, with certainty: sampled and greedy play are the same."""

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        best = self._learner.impl.inner_predict_best_action(x)
        return CERTAIN * F.one_hot(best, self._learner.impl.action_size).float()


class ContinuousActionPolicy(PiecewisePolicy):
    """The continuous action that a learner holds best, in the units of the data."""

    def actions(self, observations: torch.Tensor) -> torch.Tensor:
        """Maps observations ``(B, ...)`` to float32 actions ``(B, D)``."""
        scaler = self._learner.config.action_scaler
        best = self.in_pieces(observations)
        return best if scaler is None else scaler.reverse_transform(best)

    def values(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Maps observations ``(B, ...)`` and actions ``(B, D)`` to the learner's action values, float32 ``(B,)``."""
        given = self._learner.predict_value(observations.numpy(), actions.numpy())
        return torch.from_numpy(given).float().reshape(-1)

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        best: torch.Tensor = self._learner.impl.inner_predict_best_action(x)
        return best


@dataclasses.dataclass(frozen=True)
class StockStudent(Student):
    """One of d3rlpy's algorithms; a subclass names its configurations.

    The network is the paper's for images with discrete actions, which have to be of at least 16x16, and otherwise
    d3rlpy's default, which reads vectors and images of at least 36x36.
    """

    one_step: ClassVar[bool] = False
    """Whether it trains on one-step episodes whatever the data."""
    name: ClassVar[str]

    def discrete(self, budget: Budget, encoder: EncoderFactory) -> LearnableConfig | None:
        """Returns the configuration for discrete actions, without scalers; None where there is none."""
        return None

    def continuous(self, budget: Budget, encoder: EncoderFactory) -> LearnableConfig | None:
        """Returns the configuration for continuous actions, without scalers; None where there is none."""
        return None

    def learner(self, dataset: OfflineDataset, budget: Budget | None = None) -> LearnableConfig:
        """Returns the algorithm's configuration for the dataset's kind of actions and observations."""
        # d3rlpy's actor-critics join features and actions, which the paper's encoder has no layer for
        encoder, least = (
            (PaperEncoderFactory(), SMALLEST_SIDE) if dataset.discrete else (DefaultEncoderFactory(), DEFAULT_SIDE)
        )
        if not dataset.has_images:
            encoder = DefaultEncoderFactory()
        elif smallest_side(dataset) < least:
            raise UnsuitableDatasetError(
                f"observations of shape {dataset.observation_shape}: the student {self.name!r} reads vectors, and "
                f"images of at least {least}x{least}; give --student impala."
            )
        make = self.discrete if dataset.discrete else self.continuous
        config = make(budget or self._matched(dataset), encoder)
        if config is None:
            kind = "discrete" if dataset.discrete else "continuous"
            raise UnsuitableDatasetError(
                f"the dataset's actions are {kind}: the student {self.name!r} is not for them; give --student mlp or "
                "paper, or another that 'rld-distill list students' shows."
            )
        scalers = {"observation_scaler": observation_scaler(dataset)}
        if not dataset.discrete:
            scalers["action_scaler"] = MinMaxActionScaler()
        return fitted(dataclasses.replace(config, **scalers), dataset)

    def _matched(self, dataset: OfflineDataset) -> Budget:
        """What distillation matches: target networks are updated every 100 steps."""
        return Budget(1000, 256 if dataset.has_images else 64)

    def fit(
        self,
        config: LearnableConfig,
        data: TrainingSet,
        n_steps: int,
        *,
        seed: int,
        device: str = "cpu:0",
        on_step: Callable[[int], None] | None = None,
        show_progress: bool = False,
        logger_adapter: LoggerAdapterFactory | None = None,
        n_steps_per_epoch: int | None = None,
    ) -> AnyLearner:
        """Trains by d3rlpy's own ``fit``."""
        with seeded(seed):  # to make a buffer draws from NumPy's global generator
            buffer = data.replay_buffer(one_step=self.one_step)
        return fit_stock(
            config,
            buffer,
            data.transitions.observations.shape[1:],
            n_steps,
            seed=seed,
            device=device,
            watching=Watching(on_step, show_progress, logger_adapter, n_steps_per_epoch),
        )

    def policy(self, learner: AnyLearner, target_return: float) -> Policy:
        """Returns the best action as a policy."""
        return BestActionPolicy(learner) if _is_discrete(learner) else ContinuousActionPolicy(learner)

    def weights(self, learner: AnyLearner) -> dict[str, torch.Tensor]:
        """Returns the weights of all networks."""
        return networks(learner)

    def load_weights(self, learner: AnyLearner, weights: Mapping[str, torch.Tensor]) -> None:
        """Inverse of :meth:`weights`."""
        load_networks(learner, weights)


def target_interval(budget: Budget) -> int:
    """Returns how often target networks are updated: ten times in a training."""
    return max(1, budget.n_steps // 10)


def _is_discrete(learner: AnyLearner) -> bool:
    return bool(learner.get_action_type() == ActionSpace.DISCRETE)
