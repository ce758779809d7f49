"""What a report shows, whatever the format that it is written in."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..evaluation.results import Results
from ..methods.distilled import Distilled
from ..sweeping.cell import SweepCell
from .games import games_table
from .sweep import sweep_tables
from .table import Table
from .tables import build_tables
from .training import TrainingCurve

__all__ = ["Report"]


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """What a report shows.

    Args:
        evaluations: Results of evaluations.
        cells: Those of sweeps.
        compared: An arm: one table instead of the evaluations' own, this arm over the tasks, with its baselines.
        paper: Add the paper's own figures to evaluations of its student on its games.
        distilled: Distilled sets by the names of their arms, for galleries.
        films: GIF files of ``rld-distill play``.
        training: How experts were trained.
    """

    evaluations: Sequence[Results] = ()
    cells: Sequence[SweepCell] = ()
    compared: str | None = None
    paper: bool = False
    distilled: Mapping[str, Distilled] = dataclasses.field(default_factory=dict)
    films: Sequence[Path] = ()
    training: Sequence[TrainingCurve] = ()

    @property
    def tables(self) -> list[Table]:
        """The tables.

        Raises:
            DistillError: If an arm is to be compared that an evaluation has not.
        """
        if self.compared is not None:
            return [games_table(self.evaluations, self.compared)]
        tables = [table for one in self.evaluations for table in build_tables(one, paper=self.paper)]
        return tables + (sweep_tables(self.cells) if self.cells else [])
