"""Runs the cells of a sweep, one after the other or in processes of their own."""

from __future__ import annotations

import dataclasses
import itertools
import math
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..catalogue import DATASETS, METHODS, STUDENTS
from ..data import OfflineDataset
from ..errors import DistillError, OutputExistsError, SettingsError, UnsuitableDatasetError
from ..evaluation.arms import Arm
from ..evaluation.protocol import PartialBudget, Protocol
from ..evaluation.run import Progress
from ..executors import in_processes
from ..files import check_directory, check_output, claimed, read_document, read_json, write_document
from ..methods.base import Method
from ..methods.distilled import Distilled
from ..methods.labels import LabelDistillationConfig
from ..pipeline import Evaluation, configure, distill_to_file, load, plan_evaluation
from ..registry import load_plugin
from .cell import SweepCell, save_sweep

__all__ = ["Cell", "Sweep", "SweepConfig", "SweepResults", "plan_sweep", "sweep"]

RECORD = "sweep.json"
SIZES = (15, 50, 150, 500)

OnCell = Callable[["Cell", "Exception | None"], None]
"""Called after each cell with what went wrong, or None."""


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
        plugins: Python files that register names; each process reads them anew.
    """

    student: str | None = None
    task: str | None = None
    splits: tuple[str, ...] | None = None
    steps: int | None = None
    protocol: Protocol = dataclasses.field(default_factory=Protocol)
    expert: str | None = None
    trust: bool = False
    device: str = "cpu:0"
    plugins: tuple[Path, ...] = ()


DEFAULT = SweepConfig()


@dataclasses.dataclass(frozen=True)
class Cell:
    """One distillation and its evaluation, not yet run; can be sent to another process.

    Args:
        dataset: Name or file of the real data.
        method: As registered.
        samples: Size of the distilled set.
        seed: Of the distillation, and of the students.
        directory: Of the whole sweep.
        config: What all cells have in common.
        full: Also train students of all data.
        taught_by: Another cell, which has run before; its teachers label this one's samples.
    """

    dataset: str
    method: str
    samples: int
    seed: int
    directory: Path
    config: SweepConfig
    full: bool = False
    taught_by: Cell | None = None

    @property
    def name(self) -> str:
        """For example ``starpilot-expert-gradient-150-0``."""
        return f"{Path(self.dataset).stem}-{self.method}-{self.samples}-{self.seed}"

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

    def run(self, dataset: OfflineDataset, progress: Progress = lambda what, done, total: None) -> SweepCell:
        """Runs what of the cell is not done yet.

        Args:
            dataset: The real data.
            progress: Told of every step.

        Raises:
            DistillError: If a setting does not go with the dataset, or the cell of the teachers has not run.
        """
        self._distil(dataset, progress)
        results = self.plan(dataset, Distilled.load(self.distilled, device=self.config.device)).run(
            self.evaluation, device=self.config.device, progress=progress
        )
        return SweepCell(self.method, self.samples, self.seed, self._seconds(), results)

    def _distil(self, dataset: OfflineDataset, progress: Progress) -> None:
        config, teachers = self.config, None
        settings: dict[str, Any] = {"n_samples": self.samples}
        if self.taught_by is not None:
            teachers = self.taught_by.distilled
            if not teachers.exists():
                raise DistillError(f"its teachers are those of {self.taught_by.name}, which failed.")
        elif config.steps is not None and _takes_steps(self.method):
            settings["steps"] = config.steps
        if self.record.exists():
            self._own_seconds()  # else what is no record of ours would be found when all is done
        begun = self.distilled.exists() or self.distilled.with_name(f"{self.distilled.name}.checkpoint").exists()
        start = time.perf_counter()
        # called even if the file is there: it checks that it was made by these very settings
        distill_to_file(
            dataset,
            self.distilled,
            self.method,
            student=config.student,
            expert=config.expert,
            teachers=teachers,
            seed=self.seed,
            device=config.device,
            command=self._distil_command(settings, teachers),
            on_step=lambda step, total, loss: progress(f"distilling ({step}/{total})", step, total),
            **settings,
        )
        if not self.record.exists():
            # null where it was begun before: killed in between, that time is lost
            write_document(self.record, {"seconds": None if begun else time.perf_counter() - start})

    def configure(self, dataset: OfflineDataset) -> Method:
        """Returns the method as it distils, but for the teachers of another cell, in whose place none are trained."""
        settings: dict[str, Any] = {"n_samples": self.samples}
        if self.taught_by is not None:
            settings["steps"] = 0
        elif self.config.steps is not None and _takes_steps(self.method):
            settings["steps"] = self.config.steps
        config = self.config
        return configure(
            dataset, self.method, student=config.student, expert=config.expert, device=config.device, **settings
        )[0]

    def plan(self, dataset: OfflineDataset, distilled: Distilled) -> Evaluation:
        """Returns its evaluation, ready to run.

        Raises:
            UnsuitableDatasetError: If the student learns nothing from the distilled set.
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

    def _seconds(self) -> float:
        """That the distillation took, its teachers' training included wherever that was done."""
        return self._own_seconds() + (0.0 if self.taught_by is None else self.taught_by._seconds())

    def _own_seconds(self) -> float:
        value = read_document(self.record, unsealed=True)  # of version 0.1
        own = value.get("seconds", "")
        if own is not None and not isinstance(own, (int, float)):
            raise OutputExistsError(f"{self.record} is in the way, and not ours: move it, or give another --out.")
        return math.nan if own is None else float(own)

    def _distil_command(self, settings: Mapping[str, Any], teachers: Path | None) -> str:
        config = self.config
        return _command_line(
            ["distill", self.dataset, "--method", self.method],
            samples=self.samples,
            steps=settings.get("steps"),
            teachers=teachers,
            student=config.student,
            expert=config.expert,
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
            seed=self.seed,
            out=self.evaluation,
        )


@dataclasses.dataclass(frozen=True)
class SweepResults:
    """What became of a sweep.

    Args:
        cells: Those that finished, in the order of the plan.
        failed: What went wrong in the others, by name.
    """

    cells: Sequence[SweepCell]
    failed: Mapping[str, Exception]


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep that is ready to run.

    Args:
        cells: What there is to do; a cell that needs another's teachers stands after it.
        directory: Keeps everything.
    """

    cells: Sequence[Cell]
    directory: Path

    def run(
        self,
        *,
        jobs: int = 1,
        on_cell: OnCell = lambda cell, error: None,
        progress: Progress = lambda what, done, total: None,
    ) -> SweepResults:
        """Runs it and writes ``sweep.json``; into the same directory, it goes on where it stopped.

        A cell that fails leaves the others. Ctrl-C ends those that run, and no further one begins.

        Args:
            jobs: Cells at a time, each in a process of its own; 1 runs them here, one after the other.
            on_cell: Called after each cell with what went wrong, or None.
            progress: Told of what is done inside the cells that run here.

        Raises:
            InUseError: If another process is filling the directory.
            OutputExistsError: If it holds a ``sweep.json`` of somebody else's.
        """
        with claimed(self.directory, directory=True):
            self.check()
            return self._run(jobs, on_cell, progress)

    def check(self) -> None:
        """Refuses files of others where the results are to go, before the work is done.

        Raises:
            OutputExistsError: If there are some.
            OutputPathError: If nothing can be written there.
        """
        check_directory(self.directory)
        record = self.directory / RECORD
        if record.exists():
            value = read_json(record)
            if isinstance(value, dict) and "cells" in value:
                return
            raise OutputExistsError(f"{record} is in the way, and no sweep's: move it, or give another --out.")
        if not any((cell.evaluation / "results.json").exists() for cell in self.cells):
            check_output(record.with_suffix(".npz"))

    def _run(self, jobs: int, on_cell: OnCell, progress: Progress) -> SweepResults:
        if jobs > 1:
            for name in {cell.dataset for cell in self.cells if not Path(cell.dataset).exists()}:
                load(name)  # made once, here, and not by several processes at once
        run = _OneAfterTheOther(progress) if jobs == 1 else run_cell
        done: dict[str, SweepCell | Exception] = {}
        for taught in (False, True):
            cells = [cell for cell in self.cells if (cell.taught_by is not None) == taught]
            for cell, outcome in in_processes(run, cells, jobs):
                done[cell.name] = outcome
                on_cell(cell, outcome if isinstance(outcome, Exception) else None)
        outcomes = {cell.name: done[cell.name] for cell in self.cells}
        finished = [outcome for outcome in outcomes.values() if isinstance(outcome, SweepCell)]
        if finished:
            save_sweep(finished, self.directory / RECORD)
        failed = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, Exception)}
        return SweepResults(finished, failed)


def plan_sweep(
    datasets: Sequence[str | Path],
    methods: Sequence[str] = ("gradient",),
    sizes: Sequence[int] = SIZES,
    seeds: int = 1,
    directory: str | Path = "sweep",
    *,
    full: bool = False,
    config: SweepConfig = DEFAULT,
) -> Sweep:
    """Returns a sweep that is ready to run; see :func:`sweep`.

    Raises:
        UnknownNameError: If there is no such method or student.
        SettingsError: If there is nothing to do, or two datasets have one file name.
        DistillError: If a dataset does not exist.
    """
    for plugin in config.plugins:
        load_plugin(plugin)
    names, methods, sizes = [str(dataset) for dataset in datasets], [*dict.fromkeys(methods)], sorted(set(sizes))
    if not (names and methods and sizes and sizes[0] > 0 and seeds > 0):
        raise SettingsError(
            f"{len(names)} datasets, {len(methods)} methods, sizes {sizes}, {seeds} seeds: expected one or more of "
            "each, and sizes of 1 or more."
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
    if config.student is not None:
        STUDENTS.get(config.student)
    cells: list[Cell] = []
    for name, method, seed in itertools.product(names, methods, range(seeds)):
        teaches, first = issubclass(METHODS.get(method), LabelDistillationConfig) and config.steps != 0, None
        for size in sizes:
            # students of everything depend on neither method nor size
            once = full and (method, size) == (methods[0], sizes[0])
            cells.append(Cell(name, method, size, seed, Path(directory), config, once, first))
            if teaches:  # teachers do not depend on the size: one training serves all
                first = first or cells[-1]
    return Sweep(cells, Path(directory))


def sweep(
    datasets: Sequence[str | Path],
    methods: Sequence[str] = ("gradient",),
    sizes: Sequence[int] = SIZES,
    seeds: int = 1,
    directory: str | Path = "sweep",
    *,
    full: bool = False,
    config: SweepConfig = DEFAULT,
    jobs: int = 1,
    on_cell: OnCell = lambda cell, error: None,
) -> SweepResults:
    """Distils datasets with every method, size and seed, and evaluates each set beside random samples.

    Run again into the same directory, an interrupted sweep goes on where it stopped.

    Args:
        datasets: Files, or names of registered datasets.
        methods: Registered methods or coresets.
        sizes: Samples of the distilled sets.
        seeds: Distillations of each: seeds 0 to N-1, of the students, too.
        directory: Keeps everything, and in the end ``sweep.json``.
        full: Also train students of all data, once a dataset and seed: the table of costs then has savings.
        config: What all cells have in common.
        jobs: Cells at a time, each in a process of its own; 1 runs them here, one after the other.
        on_cell: Called after each cell with what went wrong, or None.

    Raises:
        UnknownNameError: If there is no such method or student.
        SettingsError: If there is nothing to do, or two datasets have one file name.
        DistillError: If a dataset does not exist.
    """
    plan = plan_sweep(datasets, methods, sizes, seeds, directory, full=full, config=config)
    return plan.run(jobs=jobs, on_cell=on_cell)


def run_cell(cell: Cell) -> SweepCell:
    """Runs a cell in a process that knows nothing yet."""
    for plugin in cell.config.plugins:
        load_plugin(plugin)
    return cell.run(load(cell.dataset, task=cell.config.task))


class _OneAfterTheOther:
    """Runs cells and keeps the last dataset, which the next one mostly shares."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._name: str | None = None
        self._dataset: OfflineDataset | None = None

    def __call__(self, cell: Cell) -> SweepCell:
        if self._dataset is None or self._name != cell.dataset:
            self._dataset, self._name = load(cell.dataset, task=cell.config.task), cell.dataset
        return cell.run(
            self._dataset, lambda what, done, total: self._progress(f"{cell.name}: {what}", done, total)
        )


def _takes_steps(method: str) -> bool:
    return any(field.name == "steps" for field in dataclasses.fields(METHODS.get(method)))


def _command_line(words: Sequence[object], **options: object) -> str:
    """The command line that does the same; options of None are left out."""
    for name, value in options.items():
        words = words if value is None else [*words, f"--{name.replace('_', '-')}", value]
    return shlex.join(["rld-distill", *map(str, words)])
