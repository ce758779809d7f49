"""The synthetic set while it is being learned: what moves, in which units, and within which bounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from ..data.transitions import TransitionArrays
from ..learners.learner import LearnerConfig, is_value_based

__all__ = [
    "SyntheticSet",
    "as_monte_carlo",
    "feature_units",
    "parameter_groups",
    "source_rewards",
    "value_range",
]


def source_rewards(learner: LearnerConfig, data: TransitionArrays) -> npt.NDArray[np.float32]:
    r"""Returns what the reward of a sample is, were it each real transition in turn: float32 ``(N,)``.

    Imitators do not read it, and it is the undiscounted return-to-go. A Q-learner regresses :math:`Q(s, a)` on the
    reward of a terminal step, so for one it is the return-to-go with the learner's own discount,
    :math:`\sum_k \gamma^k r_{t+k}`: the Monte-Carlo estimate of the behaviour policy's :math:`Q^\mu(s, a)`. The last
    step of an episode that ran out of time is no transition, and its reward counts all the same.
    """
    if not is_value_based(learner):
        return data.returns_to_go
    gamma = float(learner.gamma)
    out = np.zeros(len(data), np.float32)
    following, episode = 0.0, -1
    for i in range(len(data) - 1, -1, -1):
        if data.episodes[i] != episode:
            following, episode = float(data.returns_to_go[i] - data.rewards[i]), int(data.episodes[i])
        following = float(data.rewards[i]) + gamma * following
        out[i] = following
    return out


def as_monte_carlo(data: TransitionArrays, rewards: npt.NDArray[np.float32]) -> TransitionArrays:
    """Returns the real transitions in the form of the samples: each terminal, with its :func:`source_rewards`.

    A Q-learner's loss on both sides then regresses the same thing. Against bootstrapped targets on the real side
    the samples cannot win: their errors are as large as returns, the real ones as rewards (docs/findings.md).
    """
    return dataclasses.replace(data, rewards=rewards, terminals=np.ones(len(data), np.bool_))


class SyntheticSet:
    """M samples whose observations, and if asked for actions and rewards, an optimizer moves.

    Pixels move in grey levels; everything else in standard deviations of the real data's feature, so that one
    learning rate serves features of any scale. Observations and actions stay within the real data's range.

    Args:
        data: The real data; for a Q-learner in the form of :func:`as_monte_carlo`.
        index: The real transition that each sample starts from, int64 ``(M,)``.
        actions: The action that each sample starts with, ``(M, ...)``.
        rewards: The reward of each real transition, were a sample to start from it, float32 ``(N,)``.
        learned: What moves: ``"observations"``, ``"actions"``, ``"rewards"``.
        device: torch device.
    """

    def __init__(
        self,
        data: TransitionArrays,
        index: npt.NDArray[np.int64],
        actions: npt.NDArray[Any],
        rewards: npt.NDArray[np.float32],
        *,
        learned: Sequence[str] = ("observations",),
        device: str = "cpu:0",
    ) -> None:
        self.initial_actions, self._action_size = actions, data.action_size
        columns = {"observations": data.observations, "actions": data.actions, "rewards": rewards}
        columns = {name: columns[name] for name in learned}
        self._units = {name: feature_units(values).to(device) for name, values in columns.items()}
        self._bounds = {
            name: [bound.to(device) / self._units[name] for bound in value_range(values)]
            for name, values in columns.items()
            if name != "rewards"
        }
        self._start = {
            "observations": torch.from_numpy(data.observations[index].astype(np.float32)).to(device),
            "actions": torch.from_numpy(actions).to(device),
            "rewards": torch.from_numpy(rewards[index]).to(device),
        }
        self.parameters = {name: (self._start[name] / unit).requires_grad_() for name, unit in self._units.items()}

    def _get(self, name: str) -> torch.Tensor:
        if name in self.parameters:
            return self.parameters[name] * self._units[name]
        return self._start[name]

    @property
    def observations(self) -> torch.Tensor:
        """Float32 ``(M, ...)`` in the data's units, differentiable."""
        return self._get("observations")

    @property
    def actions(self) -> torch.Tensor:
        """int64 ``(M,)``, or float32 ``(M, D)``, differentiable if they are learned."""
        return self._get("actions")

    @property
    def rewards(self) -> torch.Tensor:
        """Float32 ``(M,)``, differentiable if they are learned."""
        return self._get("rewards")

    def clamp(self) -> None:
        """Brings everything back into the real data's range."""
        with torch.no_grad():
            for name, (low, high) in self._bounds.items():
                self.parameters[name].clamp_(low, high)

    def state(self) -> dict[str, torch.Tensor]:
        """Returns what :meth:`load_state` takes."""
        return {name: parameter.detach().cpu() for name, parameter in self.parameters.items()}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Inverse of :meth:`state`."""
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(state[name])

    def to_transitions(self, dtype: Literal["uint8", "float32"]) -> TransitionArrays:
        """Returns the samples as one-step terminal episodes.

        Args:
            dtype: Of the observations; ``"uint8"`` rounds.
        """
        observations = self.observations.detach().cpu().numpy()
        if dtype == "uint8":
            observations = np.rint(observations).astype(np.uint8)
        return TransitionArrays.one_step(
            observations,
            self.actions.detach().cpu().numpy(),
            self.rewards.detach().cpu().numpy(),
            self._action_size,
        )


def parameter_groups(
    parameters: Mapping[str, torch.Tensor], learning_rate: float, label_learning_rate: float
) -> list[dict[str, Any]]:
    """Returns an optimizer's groups: observations have a learning rate, and what goes with them another."""
    rates = {name: learning_rate if name == "observations" else label_learning_rate for name in parameters}
    return [{"params": [parameter], "lr": rates[name]} for name, parameter in parameters.items()]


def feature_units(values: npt.NDArray[Any]) -> torch.Tensor:
    """Returns what a learning rate of 1 moves: a grey level of pixels, else the standard deviation of each feature."""
    if values.dtype == np.uint8:
        return torch.ones(())
    deviation = np.asarray(values, np.float64).std(0)
    return torch.from_numpy(np.where(deviation > 0, deviation, 1.0).astype(np.float32))


def value_range(values: npt.NDArray[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the smallest and the largest value: 0 and 255 of pixels, else of each feature."""
    if values.dtype == np.uint8:
        return torch.tensor(0.0), torch.tensor(255.0)
    values = np.asarray(values)  # which may lie in a file
    low, high = values.min(0).astype(np.float32), values.max(0).astype(np.float32)
    return torch.from_numpy(np.asarray(low)), torch.from_numpy(np.asarray(high))
