"""What one student is trained on."""

from __future__ import annotations

import dataclasses

import numpy as np
from d3rlpy.dataset import ReplayBufferBase

from ..memory import check_fits
from .transitions import TransitionArrays, one_step_buffer
from .views import Views

__all__ = ["TrainingSet"]


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingSet:
    """Transitions, with soft labels where they have some, and their episodes where those are known.

    Args:
        transitions: N transitions; their ``probabilities`` are soft labels.
        episodes: The buffer that they come from, for algorithms that bootstrap; None makes each transition an
            episode of one step, whose reward is the return-to-go.
        views: Further observations that are made of the transitions', each with a soft label: of transitions that have
            such labels themselves.
    """

    transitions: TransitionArrays
    episodes: ReplayBufferBase | None = None
    views: Views | None = None

    def __len__(self) -> int:
        return len(self.transitions)

    @property
    def examples(self) -> TransitionArrays:
        """What is imitated: the transitions, N of them, and after them views as transitions of their own.

        A view's action and return-to-go are those of the image beneath it, which no imitator of soft labels reads.

        Raises:
            TooLargeError: If the views do not fit the memory.
        """
        data, views = self.transitions, self.views
        if views is None:
            return data
        assert data.probabilities is not None, "views of transitions without soft labels"
        images, count = np.asarray(data.observations), len(data)
        check_fits(f"{len(views)} views of {images.shape[1:]}", (count + len(views)) * images[0].nbytes)
        observations = np.empty((count + len(views), *images.shape[1:]), images.dtype)
        observations[:count] = images
        views.of(images, out=observations[count:])
        rows = np.concatenate([np.arange(count), views.sources[:, 0].astype(np.int64)])
        return TransitionArrays.one_step(
            observations,
            data.actions[rows],
            data.returns_to_go[rows],
            data.action_size,
            np.concatenate([data.probabilities, views.probabilities]),
        )

    @property
    def n_bytes(self) -> int:
        """Size of the observations, of int32 or float32 actions, of float32 rewards, and of what makes the views."""
        data = self.transitions
        actions = 4 * data.actions.size
        return int(data.observations.nbytes + actions + 4 * len(data)) + (self.views.nbytes if self.views else 0)

    def replay_buffer(self, *, one_step: bool = False) -> ReplayBufferBase:
        """Returns a d3rlpy buffer: the episodes, or one-step episodes if asked for or where none are known."""
        if self.episodes is not None and not one_step:
            return self.episodes
        data = self.transitions
        return one_step_buffer(data.observations, data.actions, data.returns_to_go, data.action_size)

    def target_return(self, percentile: float) -> float:
        """Returns the return-to-go that this percentage of the transitions do not exceed."""
        return float(np.percentile(self.transitions.returns_to_go, percentile))
