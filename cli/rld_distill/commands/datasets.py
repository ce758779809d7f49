"""``rld-distill datasets``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import rich_click as click

from ..options import json_option


@click.group("datasets")
def command() -> None:
    """List, show and make the datasets that ship as recipes."""


@command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List the recipes."""
    from procgen_datasets import get_recipe, list_recipes

    recipes = [get_recipe(name) for name in list_recipes()]
    if as_json:
        click.echo(json.dumps({"datasets": [{"name": r.name, "description": r.description} for r in recipes]}))
    else:
        for recipe in recipes:
            click.echo(f"{recipe.name}  {recipe.description}")


@command.command("show")
@click.argument("dataset")
@json_option
def show_command(dataset: str, as_json: bool) -> None:
    """Show DATASET: a recipe's name, or a file."""
    from procgen_datasets import get_recipe, read_info

    if Path(dataset).suffix in (".h5", ".hdf5") or Path(dataset).exists():
        info = dataclasses.asdict(read_info(dataset))
        info["path"] = str(info["path"])
    else:
        info = dataclasses.asdict(get_recipe(dataset))
    click.echo(json.dumps(info, indent=None if as_json else 1))


@command.command("make")
@click.argument("name")
@click.option(
    "--data-directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("d3rlpy_data"),
    show_default=True,
    help="Where datasets are kept.",
)
def make_command(name: str, data_directory: Path) -> None:
    """Collect the recipe NAME as get_procgen does, unless it is there, and verify it."""
    from procgen_datasets import get_procgen

    buffer, _ = get_procgen(name, data_directory=data_directory)
    click.echo(f"{data_directory / f'{name}.h5'}: {buffer.size()} episodes, {buffer.transition_count} transitions")
