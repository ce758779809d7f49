"""A dataset with the policy that its expert recorded: what the scripts start from. Keeps gym and d3rlpy quiet."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import gym_notices.notices
import numpy as np
import numpy.typing as npt
import structlog

gym_notices.notices.notices.clear()
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))

from d3rlpy.dataset import ReplayBuffer  # noqa: E402

from d3rlpy_distill import TransitionArrays  # noqa: E402
from d3rlpy_distill.relabel import transition_probabilities  # noqa: E402
from procgen_datasets import load_dataset  # noqa: E402
from procgen_datasets.hdf5 import read_extras  # noqa: E402


@dataclasses.dataclass(frozen=True)
class RecordedDataset:
    """N transitions of S steps, and the expert's action probabilities: of the steps ``(S, 15)``, as ``fit`` takes
    them, and of the transitions ``(N, 15)``."""

    game: str
    buffer: ReplayBuffer
    transitions: TransitionArrays
    step_probabilities: npt.NDArray[np.floating[Any]]
    policy: npt.NDArray[np.floating[Any]]

    @classmethod
    def load(cls, path: Path) -> RecordedDataset:
        buffer, info = load_dataset(path)
        assert info.provenance is not None
        transitions = TransitionArrays.from_buffer(buffer)
        recorded = read_extras(path, "steps")["action_probabilities"]
        policy = transition_probabilities(buffer, transitions, recorded)
        return cls(info.provenance.game, buffer, transitions, recorded, policy)
