"""Actors of SAC as files without pickled code: a squashed Gaussian policy in a ``.safetensors``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from ..errors import CheckpointError, DamagedFileError
from ..files import load_tensors, read_metadata, save_tensors

__all__ = ["SquashedGaussianPolicy", "is_actor", "load_actor", "save_actor"]

KEY = "actor"
LOG_STD = (-20.0, 2.0)  # bounds of stable-baselines3's


class SquashedGaussianPolicy:
    """The policy ``tanh(mean(s) + std(s) * noise)`` of SAC, scaled to the bounds of the actions.

    Args:
        weights: As stable-baselines3's actor names them: ``latent_pi.0.weight``, ..., ``mu.weight``, ``mu.bias``,
            ``log_std.weight``, ``log_std.bias``; perhaps its critics', ``critic.qf0.0.weight`` and so on.
        low: Smallest actions, float32 ``(D,)``.
        high: Largest actions, float32 ``(D,)``.
        device: torch device.

    Raises:
        KeyError: If a weight is missing.
    """

    def __init__(
        self,
        weights: Mapping[str, torch.Tensor],
        low: npt.NDArray[np.float32],
        high: npt.NDArray[np.float32],
        *,
        device: str = "cpu:0",
    ) -> None:
        here = {name: value.detach().to(device) for name, value in weights.items()}
        self._hidden = _layers(here, "latent_pi.")
        self._mean = here["mu.weight"], here["mu.bias"]
        self._log_std = here["log_std.weight"], here["log_std.bias"]
        critics = sorted({name.split(".")[1] for name in here if name.startswith("critic.")})
        self._critics = [_layers(here, f"critic.{name}.") for name in critics]
        self._low, self._high = (torch.from_numpy(bound).to(device) for bound in (low, high))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one observation."""
        return (int(self._hidden[0][0].shape[1]),)

    @property
    def action_size(self) -> int:
        """Dimensions of an action, D."""
        return len(self._low)

    def actions(self, observations: torch.Tensor) -> torch.Tensor:
        """Maps observations ``(B, O)`` to the actions of the mean, float32 ``(B, D)`` in the task's units."""
        mean, _ = self._parameters(observations)
        return self._scaled(mean)

    def sampled(self, observations: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Maps observations ``(B, O)`` and standard normal noise ``(B, D)`` to actions, float32 ``(B, D)``."""
        mean, log_std = self._parameters(observations)
        return self._scaled(mean + log_std.exp() * noise.to(mean))

    @torch.no_grad()
    def values(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Maps observations ``(B, O)`` and actions ``(B, D)`` to the smaller of the critics' values, float32 ``(B,)``.

        Raises:
            CheckpointError: If the file holds no critics.
        """
        if not self._critics:
            raise CheckpointError(
                "the policy's file holds no critics: expected the one that a training ends with."
            )
        low, high = self._low, self._high
        unit = 2 * (actions.to(low) - low) / (high - low) - 1
        inputs = torch.cat([observations.to(low), unit], 1)
        both = torch.stack([_network(layers, inputs) for layers in self._critics])
        return both.amin(0).squeeze(1).float().cpu()

    @torch.no_grad()
    def _parameters(self, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = _network(self._hidden, observations.to(self._low)).relu()
        return F.linear(x, *self._mean), F.linear(x, *self._log_std).clamp(*LOG_STD)

    def _scaled(self, before: torch.Tensor) -> torch.Tensor:
        unit = (torch.tanh(before) + 1) / 2
        return (self._low + unit * (self._high - self._low)).float().cpu()


_Layers = Sequence[tuple[torch.Tensor, torch.Tensor]]


def _layers(weights: Mapping[str, torch.Tensor], prefix: str) -> _Layers:
    """Returns the weights and biases of linear layers ``prefix0.weight``, ``prefix0.bias``, ..., in order."""
    numbers = sorted(
        int(name.removeprefix(prefix).split(".")[0])
        for name in weights
        if name.startswith(prefix) and name.endswith(".weight")
    )
    return [(weights[f"{prefix}{n}.weight"], weights[f"{prefix}{n}.bias"]) for n in numbers]


def _network(layers: _Layers, x: torch.Tensor) -> torch.Tensor:
    """Applies linear layers with ReLU between them."""
    for i, (weight, bias) in enumerate(layers):
        x = F.linear(x.relu() if i else x, weight, bias)
    return x


def save_actor(
    path: Path,
    weights: Mapping[str, torch.Tensor],
    low: npt.NDArray[np.float32],
    high: npt.NDArray[np.float32],
    *,
    overwrite: bool = False,
) -> None:
    """Writes an actor, which :func:`load_actor` reads; see :class:`SquashedGaussianPolicy` for the arguments."""
    about = {"low": low.tolist(), "high": high.tolist()}
    save_tensors(path, weights, {KEY: json.dumps(about)}, overwrite=overwrite)


def is_actor(path: Path) -> bool:
    """Tells whether a safetensors file is an actor."""
    return KEY in read_metadata(path)


def load_actor(path: Path, *, device: str = "cpu:0") -> SquashedGaussianPolicy:
    """Reads an actor.

    Raises:
        CheckpointError: If the file is damaged.
    """
    try:
        weights, said = load_tensors(path)
        about = json.loads(said[KEY])
        low, high = (np.asarray(about[name], np.float32) for name in ("low", "high"))
        policy = SquashedGaussianPolicy(weights, low, high, device=device)
        tried = policy.sampled(torch.zeros(1, *policy.shape), torch.zeros(1, policy.action_size))
        if tried.shape != (1, policy.action_size) or not torch.isfinite(tried).all():
            raise ValueError("it answers with what is no action")
    except (DamagedFileError, OSError, ValueError, KeyError, TypeError, IndexError, RuntimeError) as error:
        raise CheckpointError(f"{path} is damaged: copy or make it again ({error}).") from error
    return policy
