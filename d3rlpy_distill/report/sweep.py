"""What a sweep found: a table of its cells, and one of the cost."""

from __future__ import annotations

from collections.abc import Sequence

from ..evaluation.results import ArmResult
from ..evaluation.scores import break_even
from ..sweeping.cell import SweepCell
from .cells import return_cell
from .table import Table
from .verdicts import budget, gain

__all__ = ["RANDOM", "cell_heads", "cell_mode", "cell_splits", "sweep_tables"]

RANDOM = "random"


def sweep_tables(cells: Sequence[SweepCell]) -> list[Table]:
    """Returns the cells' returns, and what a distillation costs and saves.

    A student of all data takes as many seconds as it did on the same dataset with the same seed. Break-even is the
    number of students from which distilling and training on the samples takes less time than training on everything.
    """
    return [_returns_table(cells), _cost_table(cells)]


def _full(cells: Sequence[SweepCell], cell: SweepCell, split: str) -> ArmResult | None:
    """The arm of all data of the cell's dataset, student and seed, in whichever cell it was trained."""
    same = [other for other in cells if (other.source, other.seed) == (cell.source, cell.seed)]
    return next((arm for other in same if (arm := other.arm("full", split))), None)


def cell_splits(cells: Sequence[SweepCell]) -> list[str]:
    """Returns what was played, each split once."""
    return list(dict.fromkeys(split for cell in cells for split in cell.results.splits))


def cell_heads(cells: Sequence[SweepCell]) -> list[str]:
    """Returns what stands for each cell's task; its file and its student, too, where a task has several."""
    heads = []
    for cell in cells:
        task, data, student = cell.source
        same = [other.source for other in cells if other.task == task]
        parts = [cell.results.title]
        if any(other[1] != data for other in same):
            parts.append(str(cell.results.provenance.get("real", {}).get("file", data)))
        if any(other[2] != student for other in same):
            parts.append(str(student))
        heads.append(", ".join(parts))
    return heads


def _key(head: str, cell: SweepCell) -> tuple[str, ...]:
    return head, cell.method, f"{cell.samples}", f"{cell.seed}"


def cell_mode(cells: Sequence[SweepCell]) -> str:
    """Returns how actions were chosen."""
    sampled = any(arm.mode == "sampled" for cell in cells for arm in cell.results.arms)
    return "sampled actions" if sampled else "greedy actions"


def _returns_table(cells: Sequence[SweepCell]) -> Table:
    full_name = next((arm.name for c in cells for s in c.results.splits if (arm := c.arm("full", s))), "all data")
    splits, rows = cell_splits(cells), []
    for head, cell in zip(cell_heads(cells), cells, strict=True):
        row = [*_key(head, cell)]
        for split in splits:
            random, distilled = cell.arm(RANDOM, split), cell.arm("distilled", split)
            row += [
                return_cell(random),
                return_cell(distilled),
                "" if distilled is None else gain(distilled, random),
                return_cell(_full(cells, cell, split)),
            ]
        rows.append(tuple(row))
    heads = (RANDOM, "distilled", "gain [95%]", full_name)
    returns = [f"{what}, {split}" for split in splits for what in heads]
    title = f"Sweep: mean return ± deviation over students, {_played(cells)}{cell_mode(cells)}"
    least = [f"{what}, {split}" for what in (full_name, RANDOM) for split in splits[::-1]]
    least += [f"{what}, {split}" for split in splits[:0:-1] for what in ("distilled", "gain [95%]")]
    return Table(title, ("task", "method", "samples", "seed", *returns), rows, least=tuple(least))


def _played(cells: Sequence[SweepCell]) -> str:
    """How many students played how much, trained for how long, where it is the same in all cells."""
    told = set()
    for cell in cells:
        arm = next((arm for arm in cell.results.arms if arm.about.student is not None), None)
        if arm is None:
            return ""
        small = budget(cell.results, "small", arm.about.student)
        trained = f"small sets {small} (steps x batch), " if small else ""
        told.add(f"{arm.n_students} {arm.about.student} students x {arm.n_episodes} episodes, {trained}")
    return told.pop() if len(told) == 1 else ""


def _cost_table(cells: Sequence[SweepCell]) -> Table:
    rows = []
    for head, cell in zip(cell_heads(cells), cells, strict=True):
        split = next(iter(cell.results.splits))
        distilled, full = cell.arm("distilled", split), _full(cells, cell, split)
        if distilled is None:
            continue
        saved = None if full is None else full.train_seconds - distilled.train_seconds
        students = None if full is None else break_even(cell.seconds, full.train_seconds, distilled.train_seconds)
        rows.append(
            (
                *_key(head, cell),
                f"{cell.seconds:.0f}",
                f"{distilled.bytes / 1e6:.2f}",
                f"{distilled.train_seconds:.1f}",
                "" if saved is None else f"{saved:.1f}",
                "" if students is None else f"{students}",
            )
        )
    columns = ("task", "method", "samples", "seed", "seconds to distil", "MB", "seconds a student",
               "seconds saved a student", "break-even, students")  # fmt: skip
    return Table("Sweep: cost", columns, rows, least=("MB", "seconds a student"))
