"""``rld-distill datasets``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import rich_click as click

from ..options import json_option, plugin_option


@click.group("datasets")
def command() -> None:
    """List, show and make the datasets that have names."""


@command.command("list")
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


@command.command("show")
@click.argument("dataset")
@plugin_option
@json_option
def show_command(dataset: str, as_json: bool) -> None:
    """Show DATASET: a name, or a file."""
    from d3rlpy_distill.catalogue import DATASETS
    from d3rlpy_distill.data import read_info

    info: dict[str, Any]
    if Path(dataset).suffix in (".h5", ".hdf5") or Path(dataset).exists():
        info = dataclasses.asdict(read_info(dataset))
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


@command.command("make")
@click.argument("name")
@click.option(
    "--data-directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("d3rlpy_data"),
    show_default=True,
    help="Where datasets are kept.",
)
@plugin_option
def make_command(name: str, data_directory: Path) -> None:
    """Make the dataset NAME, unless it is there, and verify it."""
    from d3rlpy_distill.catalogue import DATASETS
    from d3rlpy_distill.data import load_dataset

    path = DATASETS.get(name)(name, data_directory)
    buffer, _ = load_dataset(path)
    click.echo(f"{path}: {buffer.size()} episodes, {buffer.transition_count} transitions")
