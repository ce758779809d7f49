"""``rld-distill presets``."""

from __future__ import annotations

import json
from typing import Any

import rich_click as click

from ..complete import Known
from ..generated import spelling
from ..options import Command, json_option, plugin_option
from ..tables import show_tables

EPILOG = """
Examples:

  rld-distill presets

  rld-distill presets gradient

  rld-distill presets labels --of data/starpilot.h5 --student impala-s2d
"""


@click.command("presets", cls=Command, epilog=EPILOG)
@click.argument("methods", nargs=-1, metavar="[METHOD]...", type=Known("methods"))
@click.option("--of", "dataset", help="File or name of the data to be distilled.  [default: data of each kind]")
@click.option(
    "--student", type=Known("students"), help="Whose learner is matched.  [default: the one that suits the data]"
)
@plugin_option
@json_option
def command(methods: tuple[str, ...], dataset: str | None, student: str | None, as_json: bool) -> None:
    """Show what the presets of METHODs set, by default of all methods, for each kind of data.

    'rld-distill distill DATASET --print-config' shows what is in force for one distillation.
    """
    from d3rlpy_distill.catalogue import METHODS
    from d3rlpy_distill.options import options_of
    from d3rlpy_distill.pipeline import load
    from d3rlpy_distill.presets import preset_table
    from d3rlpy_distill.report import Table

    data = None if dataset is None else load(dataset)
    found = {name: preset_table(name, data, student=student) for name in methods or METHODS.names("")}
    if as_json:
        click.echo(json.dumps(found))
        return
    tables = []
    for name, columns in found.items():
        options = list(dict.fromkeys(option for values in columns.values() for option in values))
        off = {field.name: told.off for field, told in options_of(METHODS.get(name))}
        rows = [
            (spelling(one).partition("/")[0], *(_cell(values[one], off.get(one)) for values in columns.values()))
            for one in options
        ]
        tables.append(Table(f"Presets of {name}", ("option", *columns), rows))
    show_tables(tables)


def _cell(value: Any, off: float | None) -> str:
    """A value as it is typed; one that is left out as what turns the option off, where something does."""
    if value is None:
        return "none" if off is None else f"{off:g}"
    return f"{value:g}" if isinstance(value, float) else str(value).lower()
