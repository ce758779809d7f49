"""``rld-distill list``."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import rich_click as click
from click.shell_completion import CompletionItem

from ..options import Command, json_option, plugin_option

if TYPE_CHECKING:
    from d3rlpy_distill.registry import Entry

KINDS = ("methods", "coresets", "students", "tasks", "datasets", "executors", "formats")

EPILOG = """
Examples:

  rld-distill list methods

  rld-distill list students --plugin examples/add_a_student.py
"""


class _Kind(click.ParamType):  # type: ignore[type-arg]
    name = "kind"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(kind) for kind in KINDS if kind.startswith(incomplete)]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value in KINDS:
            return str(value)
        nearest = difflib.get_close_matches(str(value), KINDS, n=1, cutoff=0.0)[0]
        self.fail(f"{value!r}: did you mean {nearest!r}? Expected one of {', '.join(KINDS)}.", param, ctx)


@click.command("list", cls=Command, epilog=EPILOG)
@click.argument("kind", type=_Kind())
@plugin_option
@json_option
def command(kind: str, as_json: bool) -> None:
    """List what there is of KIND: methods, coresets, students, tasks, datasets, executors or formats, each a line."""
    from d3rlpy_distill.catalogue import CORESET, DATASETS, EXECUTORS, FORMATS, METHODS, STUDENTS, TASKS

    listed: dict[str, Callable[[], Sequence[Entry[Any]]]] = {
        "methods": lambda: METHODS.entries(""),
        "coresets": lambda: METHODS.entries(CORESET),
        "students": STUDENTS.entries,
        "tasks": TASKS.entries,
        "datasets": DATASETS.entries,
        "executors": EXECUTORS.entries,
        "formats": FORMATS.entries,
    }
    lines = {entry.name: entry.line for entry in listed[kind]()}
    if as_json:
        click.echo(json.dumps({kind: [{"name": name, "line": line} for name, line in lines.items()]}))
    elif sys.stdout.isatty():
        _print_table(lines)
    else:
        for name, line in lines.items():
            click.echo(f"{name}  {line}")


def _print_table(lines: dict[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, line in lines.items():
        table.add_row(Text(name), Text(line))
    Console().print(table)
