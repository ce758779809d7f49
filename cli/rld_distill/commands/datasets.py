"""``rld-distill datasets``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import rich_click as click

from ..complete import Known
from ..duration import duration
from ..options import Command, dry_run_option, echo_result, json_option, plugin_option
from ..speech import say_next


@click.group("datasets")
def command() -> None:
    """List, show and make the datasets that have names."""


@command.command("list", cls=Command)
@plugin_option
@json_option
def list_command(as_json: bool) -> None:
    """List the datasets."""
    from d3rlpy_distill.catalogue import DATASETS

    entries = DATASETS.entries()
    if as_json:
        click.echo(json.dumps({"datasets": [{"name": one.name, "description": one.line} for one in entries]}))
    else:
        for one in entries:
            click.echo(f"{one.name}  {one.line}")


@command.command("show", cls=Command)
@click.argument("dataset", type=Known("datasets", files=True))
@plugin_option
@json_option
def show_command(dataset: str, as_json: bool) -> None:
    """Show DATASET: a name, or a file."""
    from d3rlpy_distill.catalogue import DATASETS
    from d3rlpy_distill.data import describe

    info: dict[str, Any]
    if Path(dataset).suffix in (".h5", ".hdf5") or Path(dataset).exists():
        known = dataclasses.asdict(describe(dataset))
        info = {name: value for name, value in known.items() if value is not None}
        info["path"] = str(info["path"])
    else:
        entry = DATASETS.find(dataset)
        if entry is None:
            raise DATASETS.unknown(dataset)
        info = {"name": entry.name, "description": entry.line, **_recipe(entry.name)}
    click.echo(json.dumps(info, indent=None if as_json else 1))


def _recipe(name: str) -> dict[str, Any]:
    """How a dataset of Procgen's is made; empty for others."""
    from procgen_datasets.recipe import get_recipe, list_recipes

    return dataclasses.asdict(get_recipe(name)) if name in list_recipes() else {}


@command.command("make", cls=Command)
@click.argument("name", type=Known("datasets"))
@click.option(
    "--data-directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("d3rlpy_data"),
    show_default=True,
    help="Where datasets are kept.",
)
@plugin_option
@json_option
@dry_run_option
def make_command(name: str, data_directory: Path, as_json: bool, dry_run: bool) -> None:
    """Make the dataset NAME, unless it is there, and verify it."""
    from d3rlpy_distill.catalogue import DATASETS
    from d3rlpy_distill.data import load_dataset
    from d3rlpy_distill.files import check_directory

    make = DATASETS.get(name)
    if dry_run:
        check_directory(data_directory)
        seconds = _seconds(name)
        plan = {"would": "datasets make", "directory": str(data_directory), "seconds": seconds}
        about = "nobody knows how long it takes" if seconds is None else f"about {duration(seconds)}"
        echo_result(as_json, plan, f"would make {name} in {data_directory}, unless it is there: {about}.")
        return
    path = make(name, data_directory)
    buffer, _ = load_dataset(path)
    plan = {"path": str(path), "episodes": buffer.size(), "transitions": buffer.transition_count}
    echo_result(as_json, plan, f"{path}: {buffer.size()} episodes, {buffer.transition_count} transitions")
    say_next("distill", path)


def _seconds(name: str) -> float | None:
    """About how long a dataset of Procgen's takes to make; None of others."""
    from procgen_datasets.recipe import list_recipes, recipe_seconds

    return recipe_seconds(name) if name in list_recipes() else None
