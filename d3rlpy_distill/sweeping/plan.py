"""What a sweep consists of: cells, each one distillation and its evaluation, with the commands that make it."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..catalogue import DATASETS, METHODS, STUDENTS
from ..data import OfflineDataset, read_info
from ..errors import DistillError, OutputExistsError, SettingsError, UnsuitableDatasetError
from ..evaluation.arms import Arm
from ..evaluation.protocol import PartialBudget, Protocol
from ..files import read_document
from ..methods.base import Method
from ..methods.distilled import Distilled
from ..methods.labels import LabelDistillationConfig
from ..pipeline import Evaluation, configure, plan_evaluation
from ..registry import loaded_plugins

__all__ = ["DEFAULT", "SIZES", "Cell", "SweepConfig", "plan_cells"]

SIZES = (15, 50, 150, 500)


@dataclasses.dataclass(frozen=True)
class SweepConfig:
    """What all cells of a sweep have in common.

    Args:
        student: Who is distilled for and trained; None takes each task's own.
        task: What is played; None takes what each dataset was recorded on.
        splits: Of the task; None takes those that it is evaluated on.
        steps: Steps of distillation, for methods that take steps; None takes each method's own number.
        protocol: Numbers of students and episodes, budgets; its seed is that of each cell.
        expert: The policy that methods match at; None takes the one that played each dataset.
        trust: Load an expert's file that holds pickled code.
        device: torch device.
        preset: Of the methods, each of which must have it.
    """

    student: str | None = None
    task: str | None = None
    splits: tuple[str, ...] | None = None
    steps: int | None = None
    protocol: Protocol = dataclasses.field(default_factory=Protocol)
    expert: str | None = None
    trust: bool = False
    device: str = "cpu:0"
    preset: str = "default"


DEFAULT = SweepConfig()


@dataclasses.dataclass(frozen=True)
class Cell:
    """One distillation and its evaluation, not yet run.

    Args:
        dataset: Name or file of the real data.
        method: As registered.
        samples: Size of the distilled set.
        seed: Of the distillation, and of the students.
        directory: Of the whole sweep.
        config: What all cells have in common, and this one's student.
        named: Whether its name says the student, because there are several.
        full: Also train students of all data.
        taught_by: Another cell, whose teachers label this one's samples.
    """

    dataset: str
    method: str
    samples: int
    seed: int
    directory: Path
    config: SweepConfig
    named: bool = False
    full: bool = False
    taught_by: Cell | None = None

    @property
    def name(self) -> str:
        """For example ``starpilot-expert-gradient-150-0``, or ``starpilot-expert-paper-gradient-150-0``."""
        student = [str(self.config.student)] if self.named else []
        return "-".join([Path(self.dataset).stem, *student, self.method, str(self.samples), str(self.seed)])

    @property
    def distilled(self) -> Path:
        """File of the distilled set."""
        return self.directory / f"{self.name}.h5"

    @property
    def record(self) -> Path:
        """File of the seconds that the distillation took."""
        return self.directory / f"{self.name}.json"

    @property
    def evaluation(self) -> Path:
        """Directory of the evaluation."""
        return self.directory / self.name

    @property
    def has_own_teachers(self) -> bool:
        """Whether its file is there, with teachers that it trained itself."""
        try:
            provenance = read_info(self.distilled).provenance if self.distilled.exists() else None
        except DistillError:  # whoever distils it says what is wrong
            return False
        return provenance is not None and "teachers_sha256" not in provenance.settings

    @property
    def settings(self) -> dict[str, Any]:
        """What its method is told: the size, and the steps where it takes some."""
        told: dict[str, Any] = {"n_samples": self.samples}
        if self.taught_by is None and self.config.steps is not None and _takes_steps(self.method):
            told["steps"] = self.config.steps
        return told

    @property
    def teachers(self) -> Path | None:
        """File whose teachers are taken."""
        return None if self.taught_by is None else self.taught_by.distilled

    @property
    def asked(self) -> dict[str, Any]:
        """What :func:`~..pipeline.distill_to_file` is told beside dataset, file, method, device and command."""
        config = self.config
        return {
            "student": config.student,
            "preset": config.preset,
            "expert": config.expert,
            "trust": config.trust,
            "teachers": self.teachers,
            "seed": self.seed,
            **self.settings,
        }

    def configure(self, dataset: OfflineDataset) -> Method:
        """Returns the method as it distils, but for the teachers of another cell: as if it trained them itself."""
        asked = {**self.asked, "teachers": None}
        return configure(dataset, self.method, device=self.config.device, **asked)[0]

    def plan(self, dataset: OfflineDataset, distilled: Distilled) -> Evaluation:
        """Returns its evaluation: students of the set, of random samples, and of all data if asked for.

        Raises:
            UnsuitableDatasetError: If the student learns from no such labels.
        """
        config = self.config
        plan = plan_evaluation(
            dataset,
            [distilled],
            student=config.student,
            task=config.task,
            splits=config.splits,
            protocol=dataclasses.replace(config.protocol, seed=self.seed),
            expert=config.expert,
            trust=config.trust,
            device=config.device,
        )
        arms = [arm for arm in plan.arms if self._trains(arm)]
        if not any(arm.about.kind == "distilled" for arm in arms):
            names = ", ".join(plan.students)
            raise UnsuitableDatasetError(
                f"the student {names} learns from no soft labels: leave the method {self.method!r} out."
            )
        command = self._evaluate_command([arm.name for arm in arms])
        return dataclasses.replace(
            plan, policies=[], arms=arms, provenance={**plan.provenance, "command": command}
        )

    def _trains(self, arm: Arm) -> bool:
        """All data, random samples with the actions taken, and the distilled set."""
        if arm.about.kind == "distilled":
            return True
        return arm.about.labels == "actions" and arm.about.kind in ("random", *(["full"] if self.full else []))

    def seconds(self) -> float:
        """That the distillation took, its teachers' training included wherever that was done."""
        return self.own_seconds() + (0.0 if self.taught_by is None else self.taught_by.seconds())

    def own_seconds(self) -> float:
        """That its own distillation took; NaN if nobody knows.

        Raises:
            OutputExistsError: If its record is no record.
        """
        value = read_document(self.record, unsealed=True)  # of version 0.1
        own = value.get("seconds", "")
        if own is not None and not isinstance(own, (int, float)):
            raise OutputExistsError(f"{self.record} is in the way, and not ours: move it, or give another --out.")
        return math.nan if own is None else float(own)

    @property
    def command(self) -> str:
        """The command line of its distillation."""
        config = self.config
        return _command_line(
            ["distill", self.dataset, "--method", self.method],
            preset=None if config.preset == DEFAULT.preset else config.preset,
            samples=self.samples,
            steps=self.settings.get("steps"),
            teachers=self.teachers,
            student=config.student,
            expert=config.expert,
            trust=config.trust or None,
            task=config.task,
            seed=self.seed,
            out=self.distilled,
        )

    def _evaluate_command(self, arms: Sequence[str]) -> str:
        config, protocol = self.config, self.config.protocol
        full, small = (budget or PartialBudget() for budget in (protocol.full, protocol.small))
        return _command_line(
            ["evaluate", self.dataset, self.distilled],
            arms=",".join(arms),
            students=protocol.students,
            episodes=protocol.episodes,
            full_steps=full.n_steps,
            full_batch=full.batch_size,
            small_steps=small.n_steps,
            small_batch=small.batch_size,
            student=config.student,
            task=config.task,
            splits=None if config.splits is None else ",".join(config.splits),
            expert=config.expert,
            trust=config.trust or None,
            seed=self.seed,
            out=self.evaluation,
        )


def plan_cells(
    datasets: Sequence[str | Path],
    methods: Sequence[str],
    sizes: Sequence[int],
    seeds: Sequence[int],
    directory: Path,
    *,
    students: Sequence[str] = (),
    full: bool = False,
    config: SweepConfig = DEFAULT,
) -> list[Cell]:
    """Returns every combination; a cell that needs another's teachers stands somewhere after it.

    Raises:
        UnknownNameError: If there is no such method or student.
        SettingsError: If there is nothing to do, or two datasets have one file name.
        DistillError: If a dataset does not exist.
    """
    names, methods, sizes = [str(dataset) for dataset in datasets], [*dict.fromkeys(methods)], sorted(set(sizes))
    if not (names and methods and sizes and sizes[0] > 0 and seeds and min(seeds) >= 0):
        raise SettingsError(
            f"{len(names)} datasets, {len(methods)} methods, sizes {sizes}, seeds {list(seeds)}: expected one or more "
            "of each, sizes of 1 or more, and seeds of 0 or more."
        )
    if len({Path(name).stem for name in names}) < len(names):
        raise SettingsError("two of the datasets have the same file name: rename one, the cells are named by it.")
    for name in names:
        if not Path(name).is_file() and DATASETS.find(name) is None:
            what = "is a directory: expected a dataset, an .h5 file, or a name"
            raise DistillError(
                f"{name} {what}."
                if Path(name).is_dir()
                else f"{name} does not exist: make it with 'rld-distill collect'."
            )
    chosen: list[str | None] = [*dict.fromkeys(students)] or [config.student]
    for student in chosen:
        if student is not None:
            STUDENTS.get(student)
    cells: list[Cell] = []
    for name, student, method, seed in itertools.product(names, chosen, methods, dict.fromkeys(seeds)):
        own = dataclasses.replace(config, student=student)
        # students of everything depend on neither method nor size
        every = [
            Cell(
                name, method, size, seed, directory, own, len(chosen) > 1, full and (method, i) == (methods[0], 0)
            )
            for i, size in enumerate(sizes)
        ]
        if _keeps_teachers(METHODS.get(method)) and config.steps != 0:
            first = _teaching(every)
            taught = [dataclasses.replace(cell, taught_by=first) for cell in every if cell != first]
            every = [*(cell for cell in every if cell == first), *taught]
        cells += every
    return cells


def _teaching(cells: Sequence[Cell]) -> Cell:
    """The cell whose teachers label the others' samples, for teachers do not depend on the size.

    One that an earlier sweep left with teachers of its own, whether its size is asked for or not; else the first.
    """
    first = cells[0]
    mark = first.distilled.name.removesuffix(f"-{first.samples}-{first.seed}.h5")
    found = (
        re.fullmatch(rf"{re.escape(mark)}-(\d+)-{first.seed}\.h5", one.name) for one in first.directory.glob("*")
    )
    sizes = sorted({int(match[1]) for match in found if match} - {cell.samples for cell in cells})
    known = [*cells, *(dataclasses.replace(first, samples=size, full=False) for size in sizes)]
    return next((cell for cell in known if cell.has_own_teachers), first)


def _keeps_teachers(kind: type[Method]) -> bool:
    return issubclass(kind, LabelDistillationConfig) and kind.labels == "soft"


def _takes_steps(method: str) -> bool:
    return any(field.name == "steps" for field in dataclasses.fields(METHODS.get(method)))


def _command_line(words: Sequence[object], **options: object) -> str:
    """The command line that does the same; options of None are left out, and those of True are flags.

    It names the plug-ins, too, from the present directory where they are below it.
    """
    here = Path.cwd()
    for plugin in loaded_plugins():
        words = [*words, "--plugin", plugin.relative_to(here) if plugin.is_relative_to(here) else plugin]
    for name, value in options.items():
        spelled = f"--{name.replace('_', '-')}"
        words = words if value is None else [*words, spelled] if value is True else [*words, spelled, value]
    return shlex.join(["rld-distill", *map(str, words)])
