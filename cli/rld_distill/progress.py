"""Progress bars on stderr; silent where stderr is no terminal."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from .speech import is_quiet, is_verbose, say

__all__ = ["ProgressBar"]

TIME = 7  # characters of 0:00:00


class ProgressBar:
    """One bar whose description and total may change while it runs.

    Args:
        description: What is being done.
        total: How much there is; None if nobody knows.
    """

    def __init__(self, description: str, total: int | None) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._shown = sys.stderr.isatty() and not is_quiet()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None, table_column=Column(max_width=40)),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=TIME)),
            # in a narrow terminal this is what is cut
            TextColumn(
                "{task.fields[note]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")
            ),
            console=self._console,
            disable=not self._shown,
            transient=True,
        )
        self._task: TaskID = self._progress.add_task(description, total=total, note="")
        self._description = description

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advance(self) -> None:
        """One more is done."""
        self._progress.advance(self._task)

    def say(self, note: str) -> None:
        """Shows what is being done."""
        self._progress.update(self._task, note=note)

    def line(self, text: str) -> bool:
        """Leaves a line above the bar; where there is no terminal, only ``-v`` shows it. Tells whether it is shown."""
        if self._shown:
            self._console.print(Text(text))
        elif is_verbose():
            say(text)
        return self._shown or is_verbose()

    def update(self, description: str, done: int, total: int, note: str = "") -> None:
        """Shows another state; a new description starts the clock anew."""
        if description != self._description:
            self._progress.reset(self._task, description=description, total=total)
            self._description = description
        self._progress.update(self._task, completed=done, total=total, note=note)
