"""Datasets of MuJoCo tasks by name, in d4rl's manner (arXiv 2004.07219): what the bundled policies play."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path

from ..data import read_info
from ..data.mixture import mix
from ..errors import DistillError, OutputExistsError
from ..files import appears_atomically, claimed
from .base import CollectSettings
from .gymnasium import GymnasiumTask
from .gymnasium_bundled import EXPERT, MEDIUM, bundled_file

__all__ = ["RECIPES", "Recipe", "make_recipe"]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A dataset that one command makes: collected, mixed of others, or shipped as it is.

    Args:
        env_id: Of gymnasium.
        policy: The bundled policy that plays, its actions sampled; None for the others.
        episodes: How many it plays: those that make 100,000 transitions.
        mixed: Recipes that are mixed, as many transitions of each.
    """

    env_id: str
    policy: str | None = None
    episodes: int = 0
    mixed: tuple[str, ...] = ()


def _recipes(name: str, env_id: str, expert: int, medium: int) -> dict[str, Recipe]:
    return {
        f"{name}-expert": Recipe(env_id, EXPERT, expert),
        f"{name}-medium": Recipe(env_id, MEDIUM, medium),
        f"{name}-medium-expert": Recipe(env_id, mixed=(f"{name}-medium", f"{name}-expert")),
        f"{name}-medium-replay": Recipe(env_id),
    }


RECIPES: Mapping[str, Recipe] = {
    **_recipes("halfcheetah", "HalfCheetah-v5", expert=101, medium=101),
    **_recipes("hopper", "Hopper-v5", expert=140, medium=300),
    **_recipes("walker2d", "Walker2d-v5", expert=180, medium=410),
}
"""By name."""


def make_recipe(name: str, directory: Path) -> Path:
    """Makes a recipe's file in a directory, unless it is there, and returns it.

    Raises:
        OutputExistsError: If the file was made by other settings.
        DistillError: If what it is made from does not come with this package.
    """
    recipe, path = RECIPES[name], directory / f"{name}.h5"
    command = f"rld-distill datasets make {name}"
    if recipe.mixed:
        best = next(i for i, part in enumerate(recipe.mixed) if RECIPES[part].policy == EXPERT)
        mix([make_recipe(part, directory) for part in recipe.mixed], path, command=command, expert=best)
    elif recipe.policy is not None:
        task = GymnasiumTask(recipe.env_id)
        task.collect(CollectSettings(policy=recipe.policy, episodes=recipe.episodes), path, command=command)
    else:
        _copy(bundled_file(f"{recipe.env_id}-medium-replay.h5"), path, recipe.env_id)
    return path


def _copy(source: Path, path: Path, env_id: str) -> None:
    if not source.is_file():
        raise DistillError(
            f"{path.stem} does not come with this package: 'rld-distill train-expert gym/{env_id}' leaves one of "
            "its own."
        )
    with claimed(path):
        if not path.exists():
            with appears_atomically(path) as partial:
                shutil.copyfile(source, partial)
    if read_info(path).content_sha256 != read_info(source).content_sha256:
        raise OutputExistsError(
            f"{path} is not the {path.stem} of this version: remove it with 'rm {path}', or give another directory."
        )
