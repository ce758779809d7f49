"""Kernel regression of continuous actions: the error of ridge regression on features, from the samples to the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..data import OfflineDataset, TransitionArrays
from ..errors import SettingsError
from ..learners.batch import Batch
from ..learners.learner import (
    LearnerConfig,
    scale,
    scale_labels,
)
from ..learners.training import make_batch
from ..options import option
from .decisions import DecisionMethod, RealRows
from .moving import Objective
from .network_pool import NetworkPool
from .ridge import dense_layer, kernels, last_layers, ridge_regression
from .synthetic import SyntheticSet

STEPS = 2000
REAL_BATCH_SIZE = 1024  # a forward pass each, which costs little beside the samples' gradient
SQUASH = 0.99

__all__ = ["ActionKernelConfig", "ActionKernelObjective"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActionKernelConfig(DecisionMethod):
    r"""Fit the real actions by ridge regression from the samples, on the features of networks.

    A student's last layer is linear. Instead of training a student, its last layer is solved for: with the features f
    of a network, and a constant 1 for the bias, the predictions for the real batch are those of kernel ridge
    regression, and the samples are moved to lessen their error:

    .. math::

        \min_\phi \; \mathbb{E}_\theta \, \tfrac{1}{2} \big\lVert Y - \tanh \big( K_{X S} (K_{S S} + \lambda I)^{-1}
        \operatorname{artanh}(\kappa Y_S) \big) \big\rVert^2, \quad K_{AB} = f_\theta(A) f_\theta(B)^\top + 1

    S are the samples, :math:`Y_S` their actions, X and Y the real batch, :math:`\lambda` is ``ridge`` times the mean of
    the diagonal of :math:`K_{SS}`. Actions are those that the learner scales to [-1, 1], the range of the tanh that
    follows a student's last layer; :math:`\kappa` = 0.99 keeps the regression's targets finite. Soft labels of
    discrete ones have a method of their own, :class:`~.kernel.KernelRegressionConfig`.

    The features are those of ``networks`` networks that train on the samples, ``network_steps`` steps each time they
    are used, and begin anew after a number of steps drawn evenly from 1 to ``horizon``: so all phases of training are
    there. No training is unrolled, so a step costs these and two passes through a network.

    References:
        * `Zhou et al., Dataset Distillation using Neural Feature Regression (FRePo)
          <https://arxiv.org/abs/2206.00719>`_
        * `Nguyen et al., Dataset Meta-Learning from Kernel Ridge-Regression (KIP) <https://arxiv.org/abs/2011.00050>`_

    Args, beside those of :class:`~.decisions.DecisionMethod`:
        ridge: Regularisation, as a share of the kernel's mean diagonal. Far below the default the last layer that is
            solved for fits labels that no student reaches in its steps.
        tangent: Share of the kernel of the dense layer before the last, as in
            :class:`~.kernel.KernelRegressionConfig`. A step takes longer with it.
        networks: Networks at once.
        horizon: Steps after which a network begins anew at the latest, in whole ``network_steps``. Students that
            train longer than the networks do have other features than those that the samples were moved for.
        network_steps: Steps that a network takes each time it is used.
    """

    ridge: float = option(1e-3, "Regularisation, as a share of the kernel's mean diagonal.", above=0)
    tangent: float = option(
        0.0, "Share of the kernel of the dense layer before the last; 0: the last alone.", minimum=0, maximum=1
    )
    networks: int = option(10, "Networks at once, one of which is used in a step.", minimum=1)
    horizon: int = option(1000, "Steps after which a network begins anew at the latest.", minimum=1)
    network_steps: int = option(5, "Steps that a network takes each time it is used.", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.horizon < self.network_steps:
            raise SettingsError(
                f"horizon={self.horizon}: expected at least network_steps, {self.network_steps}, after which it counts."
            )
        if not self.continuous:
            raise SettingsError(
                f"kernel regression of actions with {type(self.learner).__name__}: for BCConfig only; discrete "
                "actions have the method 'kernel'."
            )

    @classmethod
    def defaults(cls, dataset: OfflineDataset, learner: LearnerConfig, given: Mapping[str, Any]) -> dict[str, Any]:
        """Few small steps: at larger ones sets of several seeds differ by more than half of what they return."""
        own = {"steps": STEPS, "learning_rate": 0.005, "real_batch_size": REAL_BATCH_SIZE}
        return {**super().defaults(dataset, learner, given), **own}

    def objective(
        self, data: TransitionArrays, samples: SyntheticSet, rng: np.random.Generator, device: str
    ) -> Objective:
        """Returns the real error of the regression."""
        return ActionKernelObjective(self, data, self.real_rows(data), rng, device)


class ActionKernelObjective:
    """See :class:`ActionKernelConfig`.

    Args:
        config: Its configuration.
        data: The real data.
        real: Draws real batches.
        rng: Draws initialisations, horizons and batches.
        device: torch device.
    """

    def __init__(
        self,
        config: ActionKernelConfig,
        data: TransitionArrays,
        real: RealRows,
        rng: np.random.Generator,
        device: str,
    ) -> None:
        self._config, self._data, self._real, self._rng = config, data, real, rng
        self._pool = NetworkPool(
            config.learner,
            data,
            size=config.networks,
            horizon=config.horizon,
            steps=config.network_steps,
            rng=rng,
            device=device,
        )

    def step(self, samples: SyntheticSet) -> float:
        """Adds the gradient of the error at one of the networks, trains that network, and returns the error."""
        learner = self._pool.draw()
        x = scale(learner, samples.observations)
        actions = scale_labels(learner, samples.actions)[0]
        batch = make_batch(learner, self._data, self._real.draw(self._rng))
        dense = dense_layer(learner, x[:1].detach()) if self._config.tangent else None
        # in double precision, as the kernel is nearly singular
        here = last_layers(learner, x, dense, torch.float64)
        with torch.no_grad():
            there = last_layers(learner, batch.observations, dense, torch.float64)
        targets = torch.atanh(SQUASH * actions.double().clamp(-1, 1))
        pair = kernels(there, here, self._config.tangent)
        predicted = ridge_regression(*pair, targets, self._config.ridge).tanh()
        error = 0.5 * (predicted - batch.actions).square().sum(1).mean()
        error.backward(inputs=list(samples.parameters.values()))
        x, actions = x.detach(), actions.detach()
        self._pool.train(len(x), lambda rows: Batch(x[rows], actions[rows]))
        return float(error.detach())

    def advance(self) -> None:
        """Does nothing: the networks were trained with the step."""

    def state(self) -> dict[str, Any]:
        """Returns what :meth:`load_state` takes."""
        return self._pool.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self._pool.load_state(state)
