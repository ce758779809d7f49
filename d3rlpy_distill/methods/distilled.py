"""A distilled dataset: its samples, their labels, where they come from and who labelled them."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from d3rlpy.algos import DiscreteBCConfig
from d3rlpy.dataset import ReplayBuffer

from ..data import (
    DatasetInfo,
    EpisodeData,
    EpisodeWriter,
    Provenance,
    TransitionArrays,
    Views,
    load_dataset,
    one_step_buffer,
    read_extras,
)
from ..data.relabel import not_probabilities
from ..data.training_set import TrainingSet
from ..errors import DatasetFormatError, UnsuitableDatasetError
from ..memory import memory_errors
from ..students.teachers import Teachers

__all__ = ["Distilled"]

LEARNER = "teaching/learner"
"""Where a file keeps the teachers' configuration: JSON as bytes, since weights alone make no network."""


@dataclasses.dataclass(frozen=True, eq=False)
class Distilled:
    """What a method makes of a dataset. It is whole by itself: a file of it holds everything.

    Args:
        samples: M transitions, each an episode of one step that terminates. Their reward is the return-to-go of the
            real transition that the sample started from, unless rewards were learned. Their ``probabilities``
            are soft labels, where the method gives such.
        sources: The real transition that each sample started from, an index into the dataset's, int64 ``(M,)``;
            None if they started from none.
        initial: What the samples were before the first step; None if they were not moved.
        teachers: The policy that gave the soft labels; None if none did.
        views: Further observations that are made of the samples', each with a soft label; None if there are none.
        provenance: How it was made; None if nobody knows.
        recorded_sha256: Hash of the samples as a file says it.

    Raises:
        UnsuitableDatasetError: If there are views, and the samples have no soft labels.
    """

    samples: TransitionArrays
    sources: npt.NDArray[np.int64] | None = None
    initial: TransitionArrays | None = None
    teachers: Teachers | None = None
    views: Views | None = None
    provenance: Provenance | None = None
    recorded_sha256: str | None = None

    def __post_init__(self) -> None:
        if self.views is not None and self.samples.probabilities is None:
            raise UnsuitableDatasetError("views of samples without soft labels: expected labels of both.")

    def __len__(self) -> int:
        """Number of samples, M."""
        return len(self.samples)

    @property
    def soft(self) -> bool:
        """Whether the samples carry soft labels."""
        return self.samples.probabilities is not None

    @property
    def task(self) -> str | None:
        """The task of the data that it was distilled from."""
        return self.provenance.task if self.provenance else None

    @property
    def source_sha256(self) -> str | None:
        """Hash of the dataset that it was distilled from."""
        return self.provenance.settings.get("source_sha256") if self.provenance else None

    @property
    def sha256(self) -> str:
        """Hash of the samples, and of their soft labels and views where they have some; hexadecimal."""
        content = self.recorded_sha256
        if content is None:
            digest = hashlib.sha256()
            for episode in self._episodes():
                digest.update(episode.digest())
            content = digest.hexdigest()
        if self.samples.probabilities is None:
            return content
        told = content.encode() + self.samples.probabilities.tobytes()
        if self.views is not None:
            told += self.views.tobytes()
        return hashlib.sha256(told).hexdigest()

    def to_buffer(self, *, soft: bool = False) -> ReplayBuffer:
        """Returns a d3rlpy buffer, which any d3rlpy algorithm trains on.

        Args:
            soft: Give the soft labels in the place of actions, float32 ``(M, A)``, for
                :class:`~..students.soft_bc.SoftBC`; of a set with views ``(M + V, A)``, views among the samples.

        Raises:
            UnsuitableDatasetError: If there are no soft labels.
        """
        data = self.training_set().examples if soft else self.samples
        if not soft:
            return one_step_buffer(data.observations, data.actions, data.rewards, data.action_size)
        if data.probabilities is None:
            raise UnsuitableDatasetError(
                "the samples have no soft labels: expected soft=False, or a set of the method 'labels'."
            )
        return one_step_buffer(data.observations, data.probabilities, data.rewards, data.action_size)

    def training_set(self) -> TrainingSet:
        """Returns what a student is trained on."""
        return TrainingSet(self.samples, views=self.views)

    def save(self, path: str | Path) -> None:
        """Writes a d3rlpy HDF5 file; it appears whole or not at all.

        Raises:
            OutputExistsError: If the path exists.
        """
        groups: dict[str, npt.NDArray[Any]] = {}
        if self.sources is not None:
            groups["initial/transition"] = self.sources
        if self.initial is not None:
            groups["initial/observations"] = self.initial.observations
            for name in ("actions", "rewards"):
                values = getattr(self.initial, name)
                if not np.array_equal(values, getattr(self.samples, name)):
                    groups[f"initial/{name}"] = values
        if self.views is not None:
            for field in dataclasses.fields(self.views):
                groups[f"views/{field.name}"] = getattr(self.views, field.name)
        if self.teachers is not None:
            groups |= {
                f"teachers/{t}.{name}": value.cpu().numpy()
                for t, weights in enumerate(self.teachers.weights)
                for name, value in weights.items()
            }
            groups[LEARNER] = np.frombuffer(self.teachers.config.serialize().encode(), np.uint8)
        provenance = self.provenance or Provenance("distilled", None, self.samples.action_size, "", {})
        with EpisodeWriter(path, provenance, groups=groups) as writer:
            for episode in self._episodes():
                writer.write(episode)

    @classmethod
    def load(cls, path: str | Path, *, device: str = "cpu:0") -> Distilled:
        """Reads a file of :meth:`save`, or any d3rlpy file as samples of which nothing else is known.

        Longer episodes become samples of one step each, whose reward is the return-to-go.

        Args:
            path: The file.
            device: torch device of the teachers.

        Raises:
            DatasetFormatError: If it is no complete dataset, or its labels do not fit its samples.
        """
        path = Path(path)
        buffer, info = load_dataset(path)
        samples = TransitionArrays.from_buffer(buffer)
        if not samples.terminals.all():  # of another program: its steps become samples, each with its return
            samples = samples.take(np.arange(len(samples)))
        begun = read_extras(path, "initial")
        soft = read_extras(path, "steps").get("action_probabilities") if _is_distilled(info) else None
        teachers = _read_teachers(path, info, samples, device)
        if soft is None and teachers is not None:
            raise DatasetFormatError(
                f"{path} has teachers but no steps/action_probabilities: make it again with 'rld-distill distill "
                "--method labels'."
            )
        if soft is not None:
            if soft.shape != (len(samples), samples.action_size):
                raise DatasetFormatError(
                    f"{path}: soft labels of shape {soft.shape}: expected {(len(samples), samples.action_size)}."
                )
            if problem := not_probabilities(soft):
                raise DatasetFormatError(f"{path}: soft labels {problem}.")
            samples = dataclasses.replace(samples, probabilities=soft.astype(np.float32))
        return cls(
            samples=samples,
            sources=_read_sources(path, samples, begun),
            initial=_read_initial(path, samples, begun),
            teachers=teachers,
            views=_read_views(path, info, samples),
            provenance=info.provenance,
            recorded_sha256=info.content_sha256,
        )

    def _episodes(self) -> list[EpisodeData]:
        data = self.samples
        actions = data.actions.astype(np.int32) if data.discrete else data.actions
        return [
            EpisodeData(
                data.observations[i : i + 1],
                actions[i : i + 1],
                data.rewards[i : i + 1],
                terminated=True,
                steps={}
                if data.probabilities is None
                else {"action_probabilities": data.probabilities[i : i + 1]},
            )
            for i in range(len(data))
        ]


def _is_distilled(info: DatasetInfo) -> bool:
    return info.provenance is not None and info.provenance.kind == "distilled"


def _read_sources(
    path: Path, samples: TransitionArrays, begun: dict[str, npt.NDArray[Any]]
) -> npt.NDArray[np.int64] | None:
    sources = begun.get("transition")
    if sources is None:
        return None
    if (
        sources.shape != (len(samples),)
        or sources.dtype.kind not in "iu"
        or sources.min(initial=0) < 0
        or sources.max(initial=0) > np.iinfo(np.int64).max
    ):
        raise DatasetFormatError(
            f"{path}: initial/transition {sources.dtype} {sources.shape}: expected {len(samples)} numbers of "
            "transitions, from 0 on."
        )
    return sources.astype(np.int64)


def _read_views(path: Path, info: DatasetInfo, samples: TransitionArrays) -> Views | None:
    given = read_extras(path, "views") if _is_distilled(info) else {}
    if not given:
        return None
    again = "make it again with 'rld-distill distill --method views'"
    names = [field.name for field in dataclasses.fields(Views)]
    if missing := [name for name in names if name not in given]:
        raise DatasetFormatError(f"{path} has views without views/{missing[0]}: {again}.")
    views = Views(**{name: given[name] for name in names})
    if samples.probabilities is None:
        raise DatasetFormatError(f"{path} has views, and samples without soft labels: {again}.")
    if problem := views.problem(len(samples), samples.observations.shape[1:]):
        raise DatasetFormatError(f"{path} has views {problem}; {again}.")
    if views.labels.shape != (len(views), samples.action_size):
        raise DatasetFormatError(
            f"{path}: labels of views of shape {views.labels.shape}: expected {(len(views), samples.action_size)}."
        )
    if problem := not_probabilities(views.labels):
        raise DatasetFormatError(f"{path}: labels of views {problem}.")
    return views


def _read_initial(
    path: Path, samples: TransitionArrays, begun: dict[str, npt.NDArray[Any]]
) -> TransitionArrays | None:
    if "observations" not in begun:
        return None
    given = {name: begun.get(name, getattr(samples, name)) for name in ("observations", "actions", "rewards")}
    for name, values in given.items():
        own = getattr(samples, name)
        # frames may be learned as floats where those they started from are bytes
        alike = name != "actions" or values.dtype.kind in ("iu" if samples.discrete else "f")
        if values.shape != own.shape or not alike:
            what = "frames" if name == "observations" else f"{name} of type {values.dtype}, "
            raise DatasetFormatError(
                f"{path}: initial {what} of shape {values.shape} do not fit its samples: make it again."
            )
    initial = TransitionArrays.one_step(
        given["observations"], given["actions"], given["rewards"], samples.action_size
    )
    if initial.discrete and not 0 <= initial.actions.min() <= initial.actions.max() < samples.action_size:
        raise DatasetFormatError(f"{path}: initial/actions are not all 0 to {samples.action_size - 1}.")
    try:
        initial.check_finite()
    except UnsuitableDatasetError as error:
        raise DatasetFormatError(f"{path}: before the first step, {error}") from error
    return initial


def _read_teachers(path: Path, info: DatasetInfo, samples: TransitionArrays, device: str) -> Teachers | None:
    given = read_extras(path, "teachers")
    if not given or info.provenance is None:
        return None
    group, _, name = LEARNER.partition("/")
    told = read_extras(path, group).get(name)
    try:
        if told is not None:
            learner = DiscreteBCConfig.deserialize(told.tobytes().decode())
        else:  # a file of version 0.1
            learner = DiscreteBCConfig.deserialize_from_dict(info.provenance.settings["config"]["learner"])
        weights: dict[str, dict[str, torch.Tensor]] = {}
        for key, value in given.items():
            number, _, name = key.partition(".")
            weights.setdefault(number, {})[name] = torch.from_numpy(np.asarray(value))
        ordered = [weights[number] for number in sorted(weights, key=int)]
        with memory_errors():
            return Teachers(learner, ordered, samples.observations.shape[1:], samples.action_size, device=device)
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DatasetFormatError(f"{path}: its teachers' weights fit no network ({reason}).") from error
