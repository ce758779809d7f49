"""Several policies as one, whose decision is the mean of theirs."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..errors import SettingsError
from ..policies import ContinuousPolicy, DiscretePolicy, Policy

__all__ = ["ENSEMBLE", "ContinuousEnsemble", "DiscreteEnsemble", "ensemble"]

ENSEMBLE = "ensemble-of-"
"""What the name of an arm of an ensemble begins with; its members' follows."""


class ContinuousEnsemble:
    """The mean of the policies' actions.

    Args:
        policies: One or more.
    """

    def __init__(self, policies: Sequence[ContinuousPolicy]) -> None:
        self._policies = policies

    def actions(self, observations: torch.Tensor) -> torch.Tensor:
        """Maps observations ``(B, ...)`` to float32 actions ``(B, D)``."""
        return torch.stack([policy.actions(observations) for policy in self._policies]).mean(0)


class DiscreteEnsemble:
    """The mean of the policies' probabilities.

    Args:
        policies: One or more.
    """

    def __init__(self, policies: Sequence[DiscretePolicy]) -> None:
        self._policies = policies

    def logits(self, observations: torch.Tensor) -> torch.Tensor:
        """Maps observations ``(B, ...)`` to the logarithms of mean probabilities, float32 ``(B, A)``."""
        logits = torch.stack([policy.logits(observations) for policy in self._policies])
        return logits.log_softmax(2).logsumexp(0).log_softmax(1)


def ensemble(policies: Sequence[Policy]) -> Policy:
    """Returns policies of one kind as one policy.

    Raises:
        SettingsError: If some choose among actions and others give values.
    """
    continuous = [one for one in policies if isinstance(one, ContinuousPolicy)]
    if len(continuous) == len(policies):
        return ContinuousEnsemble(continuous)
    discrete = [one for one in policies if isinstance(one, DiscretePolicy)]
    if len(discrete) == len(policies):
        return DiscreteEnsemble(discrete)
    raise SettingsError("an ensemble of policies of discrete and of continuous actions: expected one kind.")
