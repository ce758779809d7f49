"""A learner's loss as a function of its network's weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from .batch import Batch
from .learner import Learner, learner_loss, learner_network

__all__ = ["LearnerLoss", "unchecked"]


class LearnerLoss(torch.nn.Module):
    """A learner's own loss as a function of its network's weights, for :func:`torch.func.functional_call`.

    The weights are named ``network.NAME``.

    Args:
        learner: Gives network and loss.
    """

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.network = learner_network(learner)
        self._learner = [learner]  # in a list, which is no submodule

    def forward(self, batch: Batch) -> torch.Tensor:
        return learner_loss(self._learner[0], batch)


@contextlib.contextmanager
def unchecked() -> Iterator[None]:
    """Lets distributions take their arguments as they are.

    d3rlpy's policies are distributions that check them, which waits for a GPU, ends a capture, and asks what a
    batched tensor cannot answer. The switch is torch's own, of the whole process: not for two threads at once.
    """
    before = torch.distributions.Distribution._validate_args
    torch.distributions.Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        torch.distributions.Distribution.set_default_validate_args(before)
