"""The options of tasks."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import rich_click as click

from .generated import Generated, GeneratedCommand, Given, generate

if TYPE_CHECKING:
    from d3rlpy_distill.tasks import Task

__all__ = ["TaskCommand"]


class TaskCommand(GeneratedCommand):
    """A command with the options of the task that is its argument."""

    also: ClassVar[Mapping[str, Sequence[str]]] = {}
    """Further names of options, by field."""

    @abc.abstractmethod
    def settings_of(self, task: Task | None) -> type[Any]:
        """Returns the dataclass of a task's settings, or the one of all tasks."""

    def generate(self, given: Given) -> Generated:
        task = _find(given)
        panel = "Options of every task" if task is None else f"Options of {task.name}"
        return generate(self.settings_of(task), panel, also=self.also)

    def always(self) -> Sequence[click.Option]:
        return generate(self.settings_of(None), "", also=self.also).options

    def explain(self, ctx: click.Context, given: Given, option: str) -> None:
        from d3rlpy_distill.catalogue import TASKS

        if _find(given) is None and given.rest:  # the task is what is off
            raise TASKS.unknown(given.rest[0])


def _find(given: Given) -> Task | None:
    """Returns the task that a command line names, or None."""
    from d3rlpy_distill.catalogue import TASKS
    from d3rlpy_distill.tasks import make_task

    for text in given.rest:
        space, slash, _ = text.partition("/")
        if TASKS.find(text) is not None or (slash and TASKS.find(space) is not None):
            return make_task(text)
    return None
