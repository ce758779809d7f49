"""What all methods have in common: dataset in, distilled dataset out."""

from __future__ import annotations

import abc
import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from typing_extensions import Self

from ..catalogue import METHODS
from ..data import OfflineDataset, Provenance
from ..errors import DistillError, SettingsError
from ..learners.learner import AnyLearner
from ..options import check_options, option, options_of
from ..policies import Policy
from ..students.base import Student
from .distilled import Distilled

__all__ = ["DEFAULT_RUN", "Expert", "Method", "Run"]


def _registered_name(kind: type[Method]) -> str:
    """Returns the name under which a method is registered; its class's where it is not."""
    target = f"{kind.__module__}:{kind.__qualname__}"
    return next((one.name for one in METHODS.entries() if one.target in (kind, target)), kind.__name__)


class Expert(Protocol):
    """A policy that a method is given, as :class:`~..tasks.base.LoadedPolicy` is."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def policy(self) -> Policy:
        """The policy."""
        ...

    @property
    def sha256(self) -> str | None:
        """Hash of its file, hexadecimal; None where it has none."""
        ...

    @property
    def learner(self) -> Callable[[], AnyLearner] | None:
        """Returns it as a d3rlpy learner; None where it is no such network."""
        ...


@dataclasses.dataclass(frozen=True)
class Run:
    """How a distillation runs; decides nothing of its result.

    Args:
        device: torch device.
        checkpoint: File to keep the state in. If it exists, the run goes on from there, to the same bytes as a run
            that was not interrupted; it is removed at the end.
        checkpoint_interval: Steps between two checkpoints.
        on_step: Called with the step just taken (from 1), the number of all steps and the loss.
    """

    device: str = "cpu:0"
    checkpoint: Path | None = None
    checkpoint_interval: int = 50
    on_step: Callable[[int, int, float], None] | None = None


DEFAULT_RUN = Run()


@dataclasses.dataclass(frozen=True)
class Phase:
    """Steps of a method that are alike.

    Args:
        method: Takes them after few others, so that they can be timed.
        after: Steps of it that come before them.
        steps: How many there are in the whole distillation.
    """

    method: Method
    after: int
    steps: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method(abc.ABC):
    """A configured method. A subclass is a frozen dataclass; its fields made by ``option`` are its options.

    Args:
        n_samples: Size of the set.
    """

    PRESETS: ClassVar[tuple[str, ...]] = ("default",)
    labels: ClassVar[str] = "actions"
    """What students of the set imitate: ``"actions"`` or ``"soft"`` labels."""

    n_samples: int = option(150, "Samples of the distilled set.", minimum=1)

    def __post_init__(self) -> None:
        check_options(self)

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
        """Returns the method with the settings that suit a dataset, and what a user asked for instead.

        Args:
            dataset: What is to be distilled.
            student: Whose learner is matched; the students that are to be trained on the set.
            name: One of ``PRESETS``.
            settings: Fields that the user gave.
            expert: Loads the policy that played the dataset, or that a user named, for methods that need it.

        Raises:
            SettingsError: If a setting is unknown, out of range, or does not go with another.
        """
        if name not in cls.PRESETS:
            raise SettingsError(f"preset={name!r} with {cls.__name__}: expected one of {', '.join(cls.PRESETS)}.")
        given = dict(settings or {})
        cls.check_names(given)
        return cls(**given)

    @classmethod
    def check_names(cls, settings: Iterable[str]) -> None:
        """Refuses settings that the method does not have.

        Raises:
            SettingsError: Naming the first one, and those that there are.
        """
        fields = {field.name for field in dataclasses.fields(cls)}
        if unknown := [name for name in settings if name not in fields]:
            known = ", ".join(field.name for field, _ in options_of(cls))
            raise SettingsError(f"{unknown[0]}: {cls.__name__} has no such setting; expected some of {known}.")

    @property
    def total_steps(self) -> int:
        """Steps that :meth:`distill` takes; 0 for a method that only chooses."""
        return 0

    @property
    def option_steps(self) -> int:
        """What the option ``steps`` stands for where it is not given."""
        return self.total_steps

    def phases(self) -> list[Phase]:
        """Returns the parts that differ in what a step costs; one, if the method does not say otherwise."""
        return [Phase(self, 0, self.total_steps)]

    def distill(self, dataset: OfflineDataset, rng: np.random.Generator, run: Run = DEFAULT_RUN) -> Distilled:
        """Distils a dataset, and records how.

        Args:
            dataset: N transitions.
            rng: Everything random is drawn from it. Its state is recorded, so that the set can be made again.
            run: Device, checkpoint and progress.

        Raises:
            UnsuitableDatasetError: If the dataset is too small or not of the supported kind.
            SettingsError: If a setting does not go with the dataset.
            CheckpointError: If the checkpoint belongs to something else.
            DistillError: If another number of samples comes out than was asked for.
        """
        begun = json.dumps(
            rng.bit_generator.state, default=np.ndarray.tolist
        )  # some generators' states are arrays
        distilled = self.inner_distill(dataset, rng, run)
        if len(distilled) != self.n_samples:  # of a plug-in: arms and tables go by the number asked for
            raise DistillError(
                f"{type(self).__name__} made {len(distilled)} samples: expected n_samples={self.n_samples}."
            )
        settings = {
            "method": _registered_name(type(self)),
            "steps": self.total_steps,
            "rng": json.loads(begun),
            "config": json.loads(json.dumps(self.to_json())),
            "source": dataset.name,
            "source_sha256": dataset.sha256,
            "version": version("d3rlpy-distill"),
        }
        provenance = Provenance("distilled", dataset.task, dataset.action_size, "", settings)
        return dataclasses.replace(distilled, provenance=provenance)

    @abc.abstractmethod
    def inner_distill(self, dataset: OfflineDataset, rng: np.random.Generator, run: Run) -> Distilled:
        """What a method is: see :meth:`distill`, whose arguments it has. Provenance is added to what it returns."""

    def to_json(self) -> dict[str, Any]:
        """Returns the configuration as JSON values: the class's name and the fields."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.metadata.get("json", True)}
        return {"method": type(self).__name__, **fields}
