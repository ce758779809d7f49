"""Methods that learn samples with soft labels: teachers first, then the samples move to what the teachers say."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch

from ..data import OfflineDataset, TransitionArrays
from ..errors import SettingsError
from ..options import option
from ..students.teachers import Teachers
from .after_teaching import AfterTeaching
from .base import Run
from .distilled import Distilled
from .given import GivenSamplesMethod
from .labels import far_apart
from .soft_samples import SoftSamples
from .synthetic import parameter_groups

__all__ = ["SoftObjective", "TaughtMethod"]


class SoftObjective(Protocol):
    """What a method minimises, one step after the other."""

    def step(self, samples: SoftSamples) -> float:
        """Sets the gradient of what is learned of the samples, and returns the value."""
        ...

    def advance(self, samples: SoftSamples) -> None:
        """Moves on, once the samples have been moved."""
        ...

    def state(self) -> dict[str, Any]:
        """Returns tensors and numbers from which :meth:`load_state` goes on exactly."""
        ...

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaughtMethod(GivenSamplesMethod):
    """Base of the methods that learn soft labels, and if asked for observations; a subclass gives the objective.

    Teachers are trained as :class:`~.labels.LabelDistillationConfig` does it, or given. The samples begin as real
    observations with the teachers' labels. Then they move by Adam, so that what a student learns from them agrees
    with the teachers on all the real data.

    Args, beside those of :class:`~.labels.LabelDistillationConfig`:
        moves: Steps that move the samples, after those of the teachers.
        begin: ``"random"`` observations, those ``"far-apart"`` in their labels, or the samples of a ``"given"`` set.
        move_observations: Whether observations move, or their labels alone.
        learning_rate: Of the observations: in grey levels of 0 to 255 for pixels, else in standard deviations.
            It falls to zero along a cosine, as that of the labels does.
        label_learning_rate: Of the labels' logits.
        momentum: Adam's first beta.
        real_batch_size: Real transitions of a step.
        given_samples: What ``begin="given"`` begins from.
    """

    moves: int = option(1000, "Steps that move the samples.", minimum=0)
    begin: Literal["random", "far-apart", "given"] = option(
        "random",
        "Observations to begin with; given: the samples of --teachers.",
        choices=("random", "far-apart", "given"),
    )
    move_observations: bool = option(False, "Move observations too, not their labels alone.")
    learning_rate: float = option(1.0, "Of the observations, in grey levels; of vectors, in deviations.", above=0)
    label_learning_rate: float = option(0.03, "Of the labels' logits.", above=0)
    momentum: float = option(0.9, "Adam's first beta.", minimum=0, below=1)
    real_batch_size: int = option(256, "Real transitions of a step.", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_given(self.begin)
        given = self.given_samples
        if given is not None and len(given) != self.n_samples:
            raise SettingsError(
                f"n_samples={self.n_samples}, and the given set has {len(given)} samples: give n_samples={len(given)} "
                f"(--samples {len(given)})."
            )

    @property
    def further_steps(self) -> int:
        """The moves."""
        return self.moves

    @abc.abstractmethod
    def objective(
        self, data: TransitionArrays, samples: SoftSamples, rng: np.random.Generator, device: str
    ) -> SoftObjective:
        """Returns what the method minimises.

        Args:
            data: The real data; their ``probabilities`` are the teachers' labels.
            samples: The samples where they begin.
            rng: Draws batches and networks.
            device: torch device.
        """

    def inner_distill(self, dataset: OfflineDataset, rng: np.random.Generator, run: Run) -> Distilled:
        """Trains the teachers and moves the samples; see :meth:`~.base.Method.distill`.

        The samples' ``actions`` are those taken where they began.
        """
        data, rows = self.imitated(dataset)

        def begin(teachers: Teachers) -> _MovingSoft:
            return _MovingSoft(self, data, teachers, rng, run.device)

        given = None if self.given_samples is None else self.given_samples.sha256
        return AfterTeaching(self, data, rng, run, begin).finished(given=given).distilled(rows)


class _MovingSoft:
    """Samples with soft labels, their optimizer and an objective."""

    def __init__(
        self,
        config: TaughtMethod,
        data: TransitionArrays,
        teachers: Teachers,
        rng: np.random.Generator,
        device: str,
    ) -> None:
        self._config, self._data, self._teachers, self._device = config, data, teachers, device
        self._rng = rng
        labels = teachers.label(data.observations)
        self._taught = dataclasses.replace(data, probabilities=labels)
        given = config.given_samples
        if given is not None:
            assert given.samples.probabilities is not None
            self.index = np.zeros(0, np.int64)  # they say themselves where they come from
            observations, labels = given.samples.observations, given.samples.probabilities
        else:
            far = config.begin == "far-apart"
            self.index = (
                far_apart(labels, config.n_samples)
                if far
                else rng.choice(len(data), config.n_samples, replace=False)
            )
            observations, labels = data.observations[self.index], labels[self.index]
        self._begin(observations, labels)

    def _begin(self, observations: npt.NDArray[Any], labels: npt.NDArray[np.float32]) -> None:
        config = self._config
        self._samples = SoftSamples(
            observations, labels, self._data.observations, moved=config.move_observations, device=self._device
        )
        groups = parameter_groups(self._samples.parameters, config.learning_rate, config.label_learning_rate)
        self._optimizer = torch.optim.Adam(groups, betas=(config.momentum, 0.999), eps=1e-12)
        moves = max(1, config.moves)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * min(step / moves, 1.0)))
        )
        self._objective = config.objective(self._taught, self._samples, self._rng, self._device)

    def step(self) -> float:
        """Moves the samples and returns the objective's value before."""
        loss = self._objective.step(self._samples)
        self._optimizer.step()
        self._schedule.step()
        self._samples.clamp()
        self._objective.advance(self._samples)
        return loss

    def state(self) -> dict[str, Any]:
        """Returns what :meth:`load_state` takes."""
        return {
            "index": torch.from_numpy(self.index),
            "samples": self._samples.state(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.last_epoch,
            "objective": self._objective.state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self.index = state["index"].numpy()
        if len(self.index):
            assert self._taught.probabilities is not None
            self._begin(self._data.observations[self.index], self._taught.probabilities[self.index])
        self._samples.load_state(state["samples"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.last_epoch = int(state["schedule"])
        self._objective.load_state(state["objective"])

    def distilled(self, rows: npt.NDArray[np.int64]) -> Distilled:
        """Returns the samples as they are; ``rows`` says which transitions of the dataset the data are."""
        observations, labels = self._samples.finished()
        given = self._config.given_samples
        if given is not None:
            before, sources, initial = given.samples, given.sources, given.initial or given.samples
        else:
            before = dataclasses.replace(self._data, probabilities=None).take(self.index)
            sources, initial = rows[self.index], before
        samples = dataclasses.replace(before, observations=observations, probabilities=labels)
        moved = self._config.move_observations or (given is not None and given.initial is not None)
        plain = dataclasses.replace(initial, probabilities=None)
        return Distilled(samples, sources=sources, initial=plain if moved else None, teachers=self._teachers)
