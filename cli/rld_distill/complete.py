"""What a shell may complete: names of what is registered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import rich_click as click
from click.shell_completion import CompletionItem

__all__ = ["Known", "known_names"]


class Known(click.ParamType):  # type: ignore[type-arg]
    """A name that shells complete; whoever uses it checks it, for a plug-in may still bring it.

    Args:
        kind: See :func:`known_names`.
        files: Whether the path of a file may stand there, too.
    """

    def __init__(self, kind: str, *, files: bool = False) -> None:
        self.name = "text"
        self._kind, self._files = kind, files

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return complete(self._kind, incomplete, files=self._files)


def complete(kind: str, incomplete: str, *, files: bool = False) -> list[CompletionItem]:
    """Returns what begins so: the last of several names that commas part, and files where they may stand there."""
    before, comma, last = incomplete.rpartition(",")
    found = [
        CompletionItem(f"{before}{comma}{name}", help=line)
        for name, line in known_names(kind).items()
        if name.startswith(last)
    ]
    return found if found or not files else [CompletionItem(incomplete, type="file")]


def known_names(kind: str) -> dict[str, str]:
    """Returns names of a kind, each with a line.

    Args:
        kind: ``"methods"``, those alone that take steps; ``"coresets"``; ``"distillations"``, both; ``"students"``;
            ``"tasks"``, Procgen's games by their short names, too; ``"datasets"``; or ``"executors"``.
    """
    from d3rlpy_distill.catalogue import CORESET, DATASETS, EXECUTORS, METHODS, STUDENTS, TASKS

    if kind == "tasks":
        entries = TASKS.entries()
        lines = {entry.name: entry.line for entry in entries}
        return {**lines, **{alias: lines[name] for alias, name in TASKS.aliases().items() if name in lines}}
    listed: dict[str, Sequence[Any]] = {
        "methods": METHODS.entries(""),
        "coresets": METHODS.entries(CORESET),
        "distillations": METHODS.entries(),
        "students": STUDENTS.entries(),
        "datasets": DATASETS.entries(),
        "executors": EXECUTORS.entries(),
    }
    return {entry.name: entry.line for entry in listed[kind]}
