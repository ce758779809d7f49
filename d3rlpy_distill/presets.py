"""What the presets of methods set, for a dataset or for datasets of each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from d3rlpy.constants import ActionSpace
from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer

from .catalogue import METHODS, STUDENTS
from .data import OfflineDataset
from .errors import SettingsError
from .learners.learner import build_learner
from .options import options_of
from .pipeline import default_student
from .tasks.base import LoadedPolicy

__all__ = ["KINDS", "preset_table", "preset_values"]

LENGTH = 4  # steps of the episodes of an example
ACTIONS = 2


class _StandIn:
    """In the place of a policy that nothing is asked of."""

    def actions(self, observations: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def values(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


def preset_values(
    method: str, dataset: OfflineDataset, *, preset: str = "default", student: str | None = None
) -> dict[str, Any]:
    """Returns the options of a method as a preset sets them for a dataset, by the names of its fields.

    Args:
        method: A registered method or coreset.
        dataset: What is to be distilled.
        preset: One of the method's.
        student: The students that are to be trained; by default those that suit the dataset.

    Raises:
        UnknownNameError: If there is no such method or student.
        SettingsError: If the preset is for other datasets.
    """
    kind = METHODS.get(method)
    chosen = STUDENTS.get(default_student(dataset, student))()

    def stand_in() -> LoadedPolicy:
        """In the place of an expert, which is no option."""
        config = chosen.learner(dataset)
        learner = build_learner(config, dataset.observation_shape, dataset.action_size, seed=0)
        return LoadedPolicy("stand-in", _StandIn(), learner=lambda: learner)

    configured = kind.preset(dataset, chosen, name=preset, settings={}, expert=stand_in)
    values = {field.name: getattr(configured, field.name) for field, _ in options_of(kind)}
    if "steps" in values:
        values["steps"] = configured.option_steps  # also where the method counts its own
    return values


def preset_table(
    method: str, dataset: OfflineDataset | None = None, *, student: str | None = None
) -> dict[str, dict[str, Any]]:
    """Returns :func:`preset_values` of every preset of a method; those that do not go with a dataset are left out.

    Args:
        method: A registered method or coreset.
        dataset: What is to be distilled; None takes one of each kind.
        student: See :func:`preset_values`.
    """
    presets = METHODS.get(method).PRESETS
    examples = {"": dataset} if dataset is not None else {kind: make() for kind, make in KINDS.items()}
    found: dict[str, dict[str, Any]] = {}
    for preset in presets:
        for kind, example in examples.items():
            try:
                values = preset_values(method, example, preset=preset, student=student)
            except SettingsError:
                if dataset is not None and preset == presets[0]:
                    raise
                continue
            found[f"{preset}, {kind}" if kind else preset] = values
    return found


def _example(*, images: bool, discrete: bool, recorded: bool) -> OfflineDataset:
    """A dataset of a kind, as small as can be."""
    shape, dtype = ((3, 64, 64), np.uint8) if images else ((4,), np.float32)
    observations = (np.arange(LENGTH * np.prod(shape)) % 7).reshape(LENGTH, *shape).astype(dtype)
    actions = np.arange(LENGTH)[:, None] % ACTIONS
    episode = Episode(
        observations,
        actions.astype(np.int32)
        if discrete
        else np.linspace(-1, 1, LENGTH * ACTIONS, dtype=np.float32).reshape(-1, 2),
        np.ones((LENGTH, 1), np.float32),
        terminated=True,
    )
    space = ActionSpace.DISCRETE if discrete else ActionSpace.CONTINUOUS
    buffer = ReplayBuffer(InfiniteBuffer(), episodes=[episode], action_space=space, action_size=ACTIONS)
    return OfflineDataset(buffer, behaviour=np.full((LENGTH, ACTIONS), 1 / ACTIONS) if recorded else None)


KINDS: Mapping[str, Callable[[], OfflineDataset]] = MappingProxyType(
    {
        "images with recorded probabilities": lambda: _example(images=True, discrete=True, recorded=True),
        "images": lambda: _example(images=True, discrete=True, recorded=False),
        "vectors": lambda: _example(images=False, discrete=True, recorded=False),
        "continuous actions": lambda: _example(images=False, discrete=False, recorded=False),
    }
)
"""A dataset of each kind that presets tell apart."""
