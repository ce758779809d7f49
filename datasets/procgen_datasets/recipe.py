"""Named datasets: TOML recipes that ship with the package, and ``get_procgen`` that makes and caches them."""

from __future__ import annotations

import dataclasses
import difflib
import shutil
import sys
from importlib import resources
from pathlib import Path

from d3rlpy.dataset import ReplayBuffer
from d3rlpy.datasets import DATA_DIRECTORY

from d3rlpy_distill.data import load_dataset, read_info
from d3rlpy_distill.data.mixture import mix
from d3rlpy_distill.errors import OutputExistsError
from d3rlpy_distill.estimates import collection_seconds
from d3rlpy_distill.files import appears_atomically, claimed

from .collect import CollectConfig, collect
from .errors import UnknownRecipeError
from .games import Levels
from .gymnasium_env import ProcgenGymnasiumEnv
from .task import ProcgenCollectSettings, ProcgenTask

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Recipe", "get_procgen", "get_recipe", "list_recipes", "make_recipe", "recipe_lines", "recipe_seconds"]

COPY_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A dataset that one command makes: collected, mixed of others, or distilled and shipped as it is.

    Args:
        name: For example ``"starpilot-expert"``.
        description: One line.
        collect: How it is collected; None for the others.
        mix: Recipes that a mixture is made of, see :func:`d3rlpy_distill.data.mixture.mix`.
        distilled_from: The recipe that a bundled synthetic dataset was distilled from.
    """

    name: str
    description: str
    collect: CollectConfig | None
    mix: tuple[str, ...] = ()
    distilled_from: str | None = None


def _recipes_directory() -> Path:
    return Path(str(resources.files("procgen_datasets") / "recipes"))


def _bundled_file(name: str) -> Path:
    return Path(str(resources.files("procgen_datasets") / "distilled" / f"{name}.h5"))


def list_recipes() -> list[str]:
    """Returns the names of the bundled recipes."""
    return sorted(path.stem for path in _recipes_directory().glob("*.toml"))


def get_recipe(name: str) -> Recipe:
    """Returns the recipe of that name.

    Raises:
        UnknownRecipeError: If there is none; the message names the nearest one.
    """
    names = list_recipes()
    if name not in names:
        nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
        raise UnknownRecipeError(
            f"unknown dataset {name!r}: did you mean {nearest!r}? 'rld-distill datasets list' lists them all."
        )
    table = tomllib.loads((_recipes_directory() / f"{name}.toml").read_text())
    if "mix" in table:
        return Recipe(name, table["description"], None, mix=tuple(table["mix"]))
    if "distilled_from" in table:
        return Recipe(name, table["description"], None, distilled_from=table["distilled_from"])
    settings = dict(table["collect"])
    settings["levels"] = Levels(**settings["levels"])
    return Recipe(name, table["description"], CollectConfig(**settings))


def get_procgen(
    name: str,
    *,
    data_directory: str | Path = DATA_DIRECTORY,
    render_mode: str | None = None,
) -> tuple[ReplayBuffer, ProcgenGymnasiumEnv]:
    """Returns a dataset and its environment, in the manner of :mod:`d3rlpy.datasets`.

    The dataset is collected on first use (seconds), or copied from the package if it is a distilled one, kept as
    ``<data_directory>/<name>.h5`` and verified by its content hash on every later use.

    Args:
        name: A recipe, for example ``"starpilot-expert"``.
        data_directory: Where datasets are kept, by default d3rlpy's ``d3rlpy_data``.
        render_mode: None or ``"rgb_array"``.

    Returns:
        The buffer and a gymnasium environment on the levels that the dataset was collected on.

    Raises:
        UnknownRecipeError: If there is no such recipe.
        OutputExistsError: If the kept file was made by other settings or another expert.
        DatasetFormatError: If the kept file is damaged.
    """
    path, config = _make(name, Path(data_directory))
    buffer, _ = load_dataset(path, observation_shape=(3, 64, 64))
    env = ProcgenGymnasiumEnv(
        config.game, levels=config.levels, mode=config.mode, rand_seed=config.seed, render_mode=render_mode
    )
    return buffer, env


def recipe_lines() -> dict[str, str]:
    """Returns each recipe's name with its description, without making sense of the rest."""
    return {
        path.stem: tomllib.loads(path.read_text())["description"]
        for path in sorted(_recipes_directory().glob("*.toml"))
    }


def recipe_seconds(name: str) -> float:
    """Returns about how long a recipe takes to make.

    Raises:
        UnknownRecipeError: If there is no such recipe.
    """
    recipe = get_recipe(name)
    if recipe.collect is None:
        return sum((recipe_seconds(part) for part in recipe.mix), COPY_SECONDS)
    config = recipe.collect
    settings = ProcgenCollectSettings(policy=config.expert, episodes=config.episodes)
    return collection_seconds(ProcgenTask(config.game), settings)[0]


def make_recipe(name: str, directory: Path) -> Path:
    """Makes a recipe's file in a directory, unless it is there, and returns it.

    Raises:
        UnknownRecipeError: If there is no such recipe.
        OutputExistsError: If the file was made by other settings.
    """
    return _make(name, directory)[0]


def _make(name: str, directory: Path) -> tuple[Path, CollectConfig]:
    """Makes a recipe's file, unless it is there, and returns it with the settings of its environment."""
    recipe = get_recipe(name)
    path, command = directory / f"{name}.h5", f"rld-distill datasets make {name}"
    if recipe.collect is not None:
        collect(recipe.collect, path, command=command)
        return path, recipe.collect
    if recipe.distilled_from is not None:
        _copy_bundled(_bundled_file(name), path)
        source = get_recipe(recipe.distilled_from).collect
        assert source is not None
        return path, source
    parts = [_make(part, directory) for part in recipe.mix]
    mix([part for part, _ in parts], path, command=command)
    return path, parts[0][1]


def _copy_bundled(source: Path, path: Path) -> None:
    with claimed(path):
        if not path.exists():
            with appears_atomically(path) as partial:
                shutil.copyfile(source, partial)
    if read_info(path).content_sha256 != read_info(source).content_sha256:
        raise OutputExistsError(
            f"{path} is not the {path.stem} of this version: remove it with 'rm {path}', or give another "
            "directory."
        )
