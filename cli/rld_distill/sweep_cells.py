"""The cells of a sweep, each two of our own commands in a process of its own."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from d3rlpy_distill.report.sweep_cell import SweepCell

__all__ = ["Cell", "run_cells"]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One distillation and its evaluation.

    Args:
        dataset: The real dataset.
        method: As ``rld-distill distill --method`` takes it.
        samples: Size of the synthetic set.
        seed: Of the distillation, and of the students.
        directory: Of the whole sweep.
        distill: Further options of ``distill``.
        evaluate: Further options of ``evaluate``.
        arms: Arms to train.
        taught_by: Another cell, which runs before; its teachers label this one's samples.
    """

    dataset: Path
    method: str
    samples: int
    seed: int
    directory: Path
    distill: tuple[str, ...]
    evaluate: tuple[str, ...]
    arms: tuple[str, ...]
    taught_by: Cell | None = None

    @property
    def name(self) -> str:
        """For example ``starpilot-expert-gradient-150-0``."""
        return f"{self.dataset.stem}-{self.method}-{self.samples}-{self.seed}"

    @property
    def _synthetic(self) -> Path:
        return self.directory / f"{self.name}.h5"

    @property
    def _record(self) -> Path:
        return self.directory / f"{self.name}.json"

    def _seconds(self) -> float:
        """That the distillation took, its teachers' training included wherever that was done."""
        own = json.loads(self._record.read_text())["seconds"]
        return float(own or "nan") + (self.taught_by._seconds() if self.taught_by else 0.0)

    def run(self, threads: int) -> SweepCell:
        """Runs what of the cell is not done yet.

        Raises:
            RuntimeError: If a command fails; the message is its own.
        """
        from d3rlpy_distill.evaluation import Results
        from d3rlpy_distill.files import write_json
        from d3rlpy_distill.report.sweep_cell import SweepCell

        common = ["--seed", str(self.seed), "--json"]
        arguments = ["--method", self.method, "--samples", str(self.samples), "--out", str(self._synthetic)]
        arguments += ["--teachers", str(self.taught_by._synthetic)] if self.taught_by else self.distill
        # run even if the file is there: distill checks that it was made by these very settings
        made = _command(["distill", str(self.dataset), *arguments, *common], threads)
        if not self._record.exists():
            # 0 where the file was there already: killed before this record, its time is lost
            write_json(self._record, {"seconds": made["seconds"] or None})
        results = self.directory / self.name
        arguments = ["--arms", ",".join(self.arms), "--out", str(results)]
        _command(
            ["evaluate", str(self.dataset), str(self._synthetic), *arguments, *self.evaluate, *common], threads
        )
        loaded = Results.load(results)
        return SweepCell(loaded.game, self.method, self.samples, self.seed, self._seconds(), loaded)


def _command(arguments: Sequence[str], threads: int) -> dict[str, float]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, "-m", "rld_distill", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise RuntimeError(f"rld-distill {arguments[0]}: {lines[-1].removeprefix('Error: ')}")
    value: dict[str, float] = json.loads(done.stdout)
    return value


def run_cells(
    cells: Sequence[Cell], jobs: int, on_cell: Callable[[Cell], None]
) -> tuple[list[SweepCell], dict[str, str]]:
    """Runs cells, ``jobs`` at a time, each with its share of the processor's threads.

    Args:
        cells: What to run; those taught by one cell run after it, one after the other.
        jobs: Processes at a time.
        on_cell: Called after each, failed or not.

    Returns:
        The finished cells in the order of ``cells``, and the failed ones' names with their messages.
    """
    threads = max(1, len(os.sched_getaffinity(0)) // jobs) if hasattr(os, "sched_getaffinity") else 1
    finished: dict[str, SweepCell] = {}
    failed: dict[str, str] = {}
    chains: dict[str, list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: cell.taught_by is not None):
        chains.setdefault((cell.taught_by or cell).name, []).append(cell)

    def run_chain(chain: list[Cell]) -> None:
        for cell in chain:
            try:
                finished[cell.name] = cell.run(threads)
            except RuntimeError as error:
                failed[cell.name] = str(error)
            on_cell(cell)

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for future in [pool.submit(run_chain, chain) for chain in chains.values()]:
            future.result()
    return [finished[cell.name] for cell in cells if cell.name in finished], failed
