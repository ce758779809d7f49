"""Samples with soft labels while they are being learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .synthetic import feature_units, value_range

__all__ = ["SoftSamples"]

SMALLEST = 1e-3
"""Probability that a label starts from at least: from 0 no logit comes back."""


class SoftSamples:
    """M samples whose labels, and if asked for observations, an optimizer moves.

    Labels move as logits, so that they stay distributions. Pixels move in grey levels, other features in standard
    deviations of the real data's, within the real data's range.

    Args:
        observations: Where they start, in the data's units, ``(M, ...)``.
        labels: Where they start, rows that sum to 1, ``(M, A)``.
        real: The real observations, ``(N, ...)``; give units and range.
        moved: Whether observations move.
        device: torch device.
    """

    def __init__(
        self,
        observations: npt.NDArray[Any],
        labels: npt.NDArray[np.float32],
        real: npt.NDArray[Any],
        *,
        moved: bool,
        device: str = "cpu:0",
    ) -> None:
        self._dtype = real.dtype
        self._unit = feature_units(real).to(device)
        self._low, self._high = (bound.to(device) / self._unit for bound in value_range(real))
        self._start = torch.from_numpy(observations.astype(np.float32)).to(device)
        logits = torch.from_numpy(labels).to(device).clamp_min(SMALLEST).log()
        self.parameters = {"labels": logits.requires_grad_()}
        if moved:
            self.parameters["observations"] = (self._start / self._unit).requires_grad_()

    def __len__(self) -> int:
        return len(self._start)

    @property
    def observations(self) -> torch.Tensor:
        """Float32 ``(M, ...)`` in the data's units, differentiable if they move."""
        moved = self.parameters.get("observations")
        return self._start if moved is None else moved * self._unit

    @property
    def logits(self) -> torch.Tensor:
        """Float32 ``(M, A)``, differentiable."""
        return self.parameters["labels"]

    @property
    def labels(self) -> torch.Tensor:
        """Float32 ``(M, A)``, rows that sum to 1, differentiable."""
        return torch.softmax(self.logits, 1)

    def clamp(self) -> None:
        """Brings observations back into the real data's range."""
        with torch.no_grad():
            if "observations" in self.parameters:
                self.parameters["observations"].clamp_(self._low, self._high)

    def state(self) -> dict[str, torch.Tensor]:
        """Returns what :meth:`load_state` takes."""
        return {name: parameter.detach().cpu() for name, parameter in self.parameters.items()}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Inverse of :meth:`state`."""
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(state[name])

    def finished(self) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32]]:
        """Returns observations, of the real data's type, and labels."""
        observations = self.observations.detach().cpu().numpy()
        if np.issubdtype(self._dtype, np.integer):
            observations = np.rint(observations)
        return observations.astype(self._dtype), self.labels.detach().cpu().numpy()
