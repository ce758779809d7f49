"""Runs the cells of a sweep: units of work of all of them side by side."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from weakref import WeakValueDictionary

from ..catalogue import STUDENTS
from ..data import OfflineDataset
from ..errors import DistillError, OutputExistsError
from ..evaluation import Place, Stage
from ..executors import HERE, Board, Branch, Executor, Flow, Pool, Progress, run_flow
from ..files import check_directory, check_output, claimed, read_json, write_document
from ..methods.distilled import Distilled
from ..pipeline import check_distillation, distilling, executor_of, load, task_of
from .cell import SweepCell, is_torn, load_sweep, save_sweep
from .plan import DEFAULT, SIZES, Cell, SweepConfig, plan_cells

__all__ = ["Sweep", "SweepResults", "plan_sweep", "sweep"]

RECORD = "sweep.json"

OnCell = Callable[[Cell, "Exception | None"], None]
"""Called after each cell with what went wrong, or None."""


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
        executor: Executor | str = HERE,
        cores: int = 1,
        on_cell: OnCell = lambda cell, error: None,
        progress: Progress = lambda what, done, total: None,
    ) -> SweepResults:
        """Runs it and writes ``sweep.json``; into the same directory, it goes on where it stopped.

        Other cells that the directory has from an earlier sweep stay in ``sweep.json``.

        A cell that fails leaves the others. Ctrl-C ends the units that run, and no further one begins.

        Args:
            executor: Where units of work run, one distillation, one student trained, one arm played: here, one after
                the other, or by its name.
            cores: Torch threads of each unit, on which last bits depend.
            on_cell: Called after each cell with what went wrong, or None.
            progress: Told of what is being done; its numbers are those of the units of the cells that have begun.

        Raises:
            InUseError: If another process is filling the directory.
            OutputExistsError: If it holds a ``sweep.json`` of somebody else's.
        """
        with claimed(self.directory, directory=True):
            self.check()
            board = Board(progress)
            with executor_of(executor).open(board) as pool:
                done = run_flow(_Cells(pool, board, cores, on_cell).flow(self.cells), pool, board)
            outcomes = {cell.name: done[cell.name] for cell in self.cells}
            finished = [outcome for outcome in outcomes.values() if isinstance(outcome, SweepCell)]
            if finished:
                save_sweep([*self._others(finished), *finished], self.directory / RECORD)
            failed = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, Exception)}
            return SweepResults(finished, failed)

    def _others(self, finished: Sequence[SweepCell]) -> list[SweepCell]:
        """The cells that an earlier sweep left in the directory, but for those that were run again."""
        again = {_identity(cell) for cell in finished}
        return [cell for cell in self._earlier() if _identity(cell) not in again]

    def _earlier(self) -> list[SweepCell]:
        """The cells of the directory's record; none where it was killed between the returns and the record."""
        record = self.directory / RECORD
        value = read_json(record) if record.exists() else None
        if not (isinstance(value, dict) and "schema" in value):  # none, or one of version 0.1
            return []
        # where the returns are newer than the record, to run the cells again costs nothing
        return [] if is_torn(record) else load_sweep(record)

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
                self._check_protocol()
                return
            raise OutputExistsError(f"{record} is in the way, and no sweep's: move it, or give another --out.")
        if not any((cell.evaluation / "results.json").exists() for cell in self.cells):
            check_output(record.with_suffix(".npz"))

    def check_cells(self) -> None:
        """Refuses what is there of its cells, and is not theirs, as :meth:`run` would when it comes to them.

        Raises:
            OutputExistsError: If a file is of other settings, or of somebody else.
            CheckpointError: If a directory holds another evaluation.
        """
        datasets: dict[tuple[str, str | None], OfflineDataset] = {}
        for cell in self.cells:
            if not cell.distilled.exists():
                continue
            key, device = (cell.dataset, cell.config.task), cell.config.device
            dataset = datasets[key] = datasets.get(key) or load(cell.dataset, task=cell.config.task)
            if cell.teachers is None or cell.teachers.exists():
                check_distillation(dataset, cell.distilled, cell.method, device=device, **cell.asked)
                cell.plan(dataset, Distilled.load(cell.distilled, device=device)).check(cell.evaluation)

    def _check_protocol(self) -> None:
        """Refuses to put cells beside those of other students, episodes or budgets: one table would show both."""
        config = self.cells[0].config  # the others' differ in the student alone
        for earlier in self._earlier():
            known = {name: STUDENTS.get(name)() for name in earlier.results.students if STUDENTS.find(name)}
            if not known:
                continue
            ours = json.loads(json.dumps(config.protocol.to_json(known)))
            theirs = earlier.results.protocol
            differing = [key for key in ours if key != "seed" and ours[key] != theirs.get(key)]
            if config.splits is not None and set(config.splits) != set(earlier.results.splits):
                differing.append("splits")
            if differing:
                raise OutputExistsError(
                    f"{self.directory / RECORD} has cells of another protocol (it differs in "
                    f"{', '.join(differing)}), and one table would show both: give another --out."
                )


def _identity(cell: SweepCell) -> tuple[object, ...]:
    return *cell.source, cell.method, cell.samples, cell.seed


class _Cells:
    """The cells of a sweep as flows."""

    def __init__(self, pool: Pool, board: Board, cores: int, on_cell: OnCell) -> None:
        self._pool, self._board, self._cores, self._on_cell = pool, board, cores, on_cell
        self._distillations: dict[Cell, Branch[None]] = {}
        self._stages: WeakValueDictionary[tuple[str, str | None], Stage] = WeakValueDictionary()
        self._last: Stage | None = None  # also kept while no cell runs that needs it

    def flow(self, cells: Sequence[Cell]) -> Flow[dict[str, SweepCell | Exception]]:
        """Runs them all, those that others teach last; returns what became of each, by name."""
        self._distillations = {cell: Branch(self._distil(cell)) for cell in cells}
        ordered = sorted(cells, key=lambda cell: cell.taught_by is not None)
        self._board.expect(len(ordered))  # their distillations
        outcomes = yield [Branch(self._guarded(cell)) for cell in ordered]
        return {cell.name: outcome for cell, outcome in zip(ordered, outcomes, strict=True)}

    def _guarded(self, cell: Cell) -> Flow[SweepCell | Exception]:
        """A cell that fails leaves the others."""
        try:
            finished = yield from self._cell(cell)
        except Exception as error:  # told to the caller, who goes on with the others
            self._on_cell(cell, error)
            return error
        self._on_cell(cell, None)
        return finished

    def _cell(self, cell: Cell) -> Flow[SweepCell]:
        stage = self._stage(cell)
        if cell.taught_by is not None and cell.taught_by in self._distillations:
            try:
                yield [self._distillations[cell.taught_by]]
            except Exception as error:
                raise _untaught(cell.taught_by) from error
        yield [self._distillations[cell]]
        place = self._place(cell)
        plan = cell.plan(stage.dataset, Distilled.load(cell.distilled, device=place.device))
        results = yield from plan.flow(cell.evaluation, stage, place)
        return SweepCell(cell.method, cell.samples, cell.seed, cell.seconds(), results)

    def _distil(self, cell: Cell) -> Flow[None]:
        if cell.record.exists():
            cell.own_seconds()  # else what is no record of ours would be found when all is done
        if cell.taught_by is not None and not cell.taught_by.distilled.exists():
            raise _untaught(cell.taught_by)
        # called even if the file is there: it checks that it was made by these very settings
        seconds = yield from distilling(
            self._stage(cell),
            cell.distilled,
            cell.method,
            self._place(cell),
            command=cell.command,
            **cell.asked,
        )
        if not cell.record.exists():
            # null where it was begun before: killed in between, that time is lost
            write_document(cell.record, {"seconds": seconds})

    def _place(self, cell: Cell) -> Place:
        return Place(self._pool, self._board, self._cores, cell.config.device, cell.name)

    def _stage(self, cell: Cell) -> Stage:
        """The cell's dataset, which the next one mostly shares."""
        key = cell.dataset, cell.config.task
        stage = self._stages.get(key)
        if stage is None:
            self._last = None  # two datasets at a time are enough
            dataset = load(cell.dataset, task=cell.config.task)
            stage = Stage(self._pool, task_of(dataset, cell.config.task), dataset)
        self._stages[key] = self._last = stage
        return stage


def _untaught(teacher: Cell) -> DistillError:
    return DistillError(f"its teachers are those of {teacher.name}, which failed.")


def plan_sweep(
    datasets: Sequence[str | Path],
    methods: Sequence[str] = ("gradient",),
    sizes: Sequence[int] = SIZES,
    seeds: int | Sequence[int] = 1,
    directory: str | Path = "sweep",
    *,
    students: Sequence[str] = (),
    full: bool = False,
    config: SweepConfig = DEFAULT,
) -> Sweep:
    """Returns a sweep that is ready to run; see :func:`sweep`.

    Raises:
        UnknownNameError: If there is no such method or student.
        SettingsError: If there is nothing to do, or two datasets have one file name.
        DistillError: If a dataset does not exist.
    """
    numbers = range(seeds) if isinstance(seeds, int) else seeds
    cells = plan_cells(
        datasets, methods, sizes, numbers, Path(directory), students=students, full=full, config=config
    )
    return Sweep(cells, Path(directory))


def sweep(
    datasets: Sequence[str | Path],
    methods: Sequence[str] = ("gradient",),
    sizes: Sequence[int] = SIZES,
    seeds: int | Sequence[int] = 1,
    directory: str | Path = "sweep",
    *,
    students: Sequence[str] = (),
    full: bool = False,
    config: SweepConfig = DEFAULT,
    executor: Executor | str = HERE,
    cores: int = 1,
    on_cell: OnCell = lambda cell, error: None,
    progress: Progress = lambda what, done, total: None,
) -> SweepResults:
    """Distils datasets with every method, size and seed, and evaluates each set beside random samples.

    Run again into the same directory, an interrupted sweep goes on where it stopped.

    Args:
        datasets: Files, or names of registered datasets.
        methods: Registered methods or coresets.
        sizes: Samples of the distilled sets.
        seeds: Distillations of each, of the students, too: N for seeds 0 to N-1, or those to take.
        directory: Keeps everything, and in the end ``sweep.json``.
        students: Several registered students, each distilled for and trained; none takes that of the configuration.
        full: Also train students of all data, once a dataset, student and seed: the table of costs then has savings.
        config: What all cells have in common.
        executor: Where units of work run; see :func:`~..pipeline.evaluate`.
        cores: Torch threads of each unit, on which last bits depend.
        on_cell: Called after each cell with what went wrong, or None.
        progress: Told of what is being done.

    Raises:
        UnknownNameError: If there is no such method or student.
        SettingsError: If there is nothing to do, or two datasets have one file name.
        DistillError: If a dataset does not exist.
    """
    plan = plan_sweep(datasets, methods, sizes, seeds, directory, students=students, full=full, config=config)
    return plan.run(executor=executor, cores=cores, on_cell=on_cell, progress=progress)
