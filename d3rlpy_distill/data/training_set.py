"""What one student is trained on."""

from __future__ import annotations

import dataclasses

import numpy as np
from d3rlpy.dataset import ReplayBufferBase

from .transitions import TransitionArrays, one_step_buffer

__all__ = ["TrainingSet"]


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingSet:
    """Transitions, with soft labels where they have some, and their episodes where those are known.

    Args:
        transitions: N transitions; their ``probabilities`` are soft labels.
        episodes: The buffer that they come from, for algorithms that bootstrap; None makes each transition an
            episode of one step, whose reward is the return-to-go.
    """

    transitions: TransitionArrays
    episodes: ReplayBufferBase | None = None

    def __len__(self) -> int:
        return len(self.transitions)

    @property
    def n_bytes(self) -> int:
        """Size of the observations, of int32 or float32 actions and of float32 rewards."""
        data = self.transitions
        actions = 4 * data.actions.size
        return int(data.observations.nbytes + actions + 4 * len(data))

    def replay_buffer(self, *, one_step: bool = False) -> ReplayBufferBase:
        """Returns a d3rlpy buffer: the episodes, or one-step episodes if asked for or where none are known."""
        if self.episodes is not None and not one_step:
            return self.episodes
        data = self.transitions
        return one_step_buffer(data.observations, data.actions, data.returns_to_go, data.action_size)

    def target_return(self, percentile: float) -> float:
        """Returns the return-to-go that this percentage of the transitions do not exceed."""
        return float(np.percentile(self.transitions.returns_to_go, percentile))
