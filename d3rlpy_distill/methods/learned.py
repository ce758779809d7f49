"""Methods that a learner takes part in: which data they distil, and what is imitated there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from d3rlpy.algos import BCConfig, DiscreteBCConfig
from typing_extensions import Self

from ..data import OfflineDataset, TransitionArrays
from ..data.allocation import check_sample_count
from ..errors import SettingsError, UnsuitableDatasetError
from ..learners.learner import LEARNER_CONFIGS, LearnerConfig, is_value_based
from ..learners.scalers import fit_scalers
from ..options import option
from ..students.base import Student
from .base import Expert, Method

__all__ = ["LearnedMethod"]

SHARPNESS = 4.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnedMethod(Method):
    """Base of the methods with a learner.

    Args, beside that of :class:`~.base.Method`:
        learner: ``DiscreteBCConfig``, ``DQNConfig``, ``DoubleDQNConfig`` or ``DiscreteCQLConfig`` for discrete
            actions, ``BCConfig`` for continuous ones. Gives the network, the loss (with its beta, discount or
            alpha), the scalers, and where students are trained, optimizer and batch size. What is matched is
            what a student of this configuration trains on.
        steps: Steps to take; None takes the method's own number.
        percent: Distil only the episodes with the highest returns, until this % of the transitions are in (above
            0, at most 100): weight ``w = 1[G0 >= b]`` of arXiv 2407.20299, :func:`~..data.percentile.best_episodes`.
            None distils all.
        sharpness: If given, what is imitated are the behaviour policy's recorded probabilities to this power
            (:func:`~..data.relabel.sharpen`), which the dataset then needs. For ``DiscreteBCConfig`` only, as rewards
            belong to the actions that were taken. None imitates those.
    """

    learner: LearnerConfig = dataclasses.field(metadata={"json": False})
    steps: int | None = option(None, "Steps of distillation.", minimum=0)
    percent: float | None = option(
        None,
        "Distil only the episodes of the highest returns, until this % of the transitions are in; 100: all.",
        above=0,
        maximum=100,
        off=100,
    )
    sharpness: float | None = option(
        None,
        "Imitate the policy's recorded probabilities to this power; 0: the actions that were taken.",
        above=0,
        off=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self.learner).__name__
        if not isinstance(self.learner, LEARNER_CONFIGS):
            known = ", ".join(config.__name__ for config in LEARNER_CONFIGS)
            raise SettingsError(f"learner={name}: expected one of {known}.")
        if self.sharpness is not None and not isinstance(self.learner, DiscreteBCConfig):
            raise SettingsError(f"sharpness with {name}: for DiscreteBCConfig only; leave it None.")
        if isinstance(self.learner, BCConfig) and self.learner.policy_type != "deterministic":
            raise SettingsError(
                f"a {self.learner.policy_type} policy draws in its loss: give a deterministic one."
            )
        if getattr(self.learner.encoder_factory, "dropout_rate", None):
            raise SettingsError("dropout draws in every pass: give an encoder factory without it.")

    @classmethod
    def preset(
        cls,
        dataset: OfflineDataset,
        student: Student,
        *,
        name: str = "default",
        settings: Mapping[str, Any] | None = None,
        expert: Callable[[], Expert] | None = None,
    ) -> Self:
        """See :meth:`~.base.Method.preset`."""
        if name not in cls.PRESETS:
            raise SettingsError(f"preset={name!r} with {cls.__name__}: expected one of {', '.join(cls.PRESETS)}.")
        given = dict(settings or {})
        cls.check_names(given)
        if given.get("sharpness") is not None and dataset.behaviour is None:
            raise SettingsError(
                f"sharpness {given['sharpness']:g}: the dataset records no action probabilities, as 'rld-distill "
                "collect' does: leave it out."
            )
        learner = student.learner(dataset)
        return cls(**{"learner": learner, **cls.defaults(dataset, learner, given), **given})

    @classmethod
    def defaults(cls, dataset: OfflineDataset, learner: LearnerConfig, given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the preset ``default`` for a dataset: settings chosen on validation levels, docs/findings.md.

        Args:
            dataset: What is to be distilled.
            learner: What is matched.
            given: What the user gave, where a default depends on it.
        """
        imitates = isinstance(learner, DiscreteBCConfig) and dataset.has_images
        return {"sharpness": SHARPNESS if imitates and dataset.behaviour is not None else None}

    @property
    def continuous(self) -> bool:
        """Whether the learner is for continuous actions."""
        return isinstance(self.learner, BCConfig)

    def select(self, dataset: OfflineDataset) -> tuple[TransitionArrays, npt.NDArray[np.int64]]:
        """Returns the transitions to distil and their indices; fits the learner's scalers to the whole dataset.

        Raises:
            UnsuitableDatasetError: If the dataset is too small, or of another kind than the learner.
        """
        everything = dataset.transitions
        if everything.discrete == self.continuous:
            kind, wanted = (
                ("discrete", "DiscreteBCConfig, DQNConfig or DiscreteCQLConfig")
                if everything.discrete
                else ("continuous", "BCConfig")
            )
            raise UnsuitableDatasetError(
                f"the dataset's actions are {kind} and the learner is {type(self.learner).__name__}: "
                f"give a learner for {kind} actions, {wanted}."
            )
        fit_scalers(self.learner, dataset.buffer)
        check_sample_count(self.n_samples, len(everything))
        if self.percent is None:
            return everything, np.arange(len(everything))
        data, rows = dataset.best(self.percent)
        if len(data) < self.n_samples:
            raise UnsuitableDatasetError(
                f"percent={self.percent:g} leaves {len(data)} of {len(everything)} transitions: expected at "
                f"least n_samples={self.n_samples}; give a larger percentage or fewer samples."
            )
        return data, rows

    def behaviour(self, dataset: OfflineDataset, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.floating[Any]]:
        """Returns the behaviour policy's probabilities at transitions, ``(len(rows), A)``.

        Raises:
            SettingsError: If the dataset records none.
            UnsuitableDatasetError: If they do not fit it.
        """
        probabilities = dataset.policy
        if probabilities is None:
            raise SettingsError(
                f"sharpness={self.sharpness}: the dataset records no action probabilities; leave it None, or give "
                "OfflineDataset its behaviour."
            )
        return probabilities[rows]

    @property
    def reads_rewards(self) -> bool:
        """Whether the learner reads rewards."""
        return is_value_based(self.learner)

    def to_json(self) -> dict[str, Any]:
        """Returns the configuration as JSON values, the learner as d3rlpy writes it."""
        learner = {"learner_type": self.learner.get_type(), "learner": self.learner.serialize_to_dict()}
        return {**super().to_json(), **learner}
