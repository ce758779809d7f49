"""``rld-distill import``."""

from __future__ import annotations

import time
from pathlib import Path

import rich_click as click

from ..dataset_result import echo_dataset
from ..duration import duration
from ..options import (
    ConfigCommand,
    command_line,
    dry_run_option,
    echo_nothing_to_do,
    echo_result,
    json_option,
    plugin_option,
)
from ..speech import say_next
from ..transfer import echo_transfer

MAX_MEMORY = 2**32
"""Bytes that an import may take: the largest episode that is admitted (6000 steps, float64, protocol 2) takes 1.8e9."""

D3RLPY_EPILOG = """
Examples:

  rld-distill import d3rlpy cartpole-replay --out data/cartpole.h5

  rld-distill import d3rlpy d3rlpy_data/pendulum.h5 --task gym/Pendulum-v1 --out data/pendulum.h5
"""
MINARI_EPILOG = """
Examples:

  rld-distill import minari mujoco/hopper/expert-v0 --out data/hopper.h5

  rld-distill import minari data/minari/me/cartpole-v0 --out data/cartpole.h5
"""
EPILOG = """
Example:

  rld-distill import gen-dgrl coinrun.tar.xz --game coinrun --out data/coinrun.h5
"""


@click.group("import")
def command() -> None:
    """Turn other projects' datasets into d3rlpy datasets."""


@command.command("gen-dgrl", cls=ConfigCommand, epilog=EPILOG)
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("--game", required=True, help="The game it was recorded on.")
@click.option("--episodes", type=click.IntRange(1), help="Take the first so many.  [default: all]")
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="File to make.  [default: data/GAME.h5]"
)
@json_option
@dry_run_option
def gen_dgrl_command(
    archive: Path, game: str, episodes: int | None, out: Path | None, as_json: bool, dry_run: bool
) -> None:
    """Import ARCHIVE, a .tar.xz of gen_dgrl's Procgen data (arXiv 2312.05742).

    Its pickles are read by a reader that builds numpy arrays and refuses everything else.
    """
    from d3rlpy_distill.memory import memory_limit
    from procgen_datasets.gen_dgrl import check_gen_dgrl, import_gen_dgrl

    from ..progress import ProgressBar

    path = out or Path("data") / f"{game}.h5"
    if dry_run:
        with memory_limit(MAX_MEMORY):
            there, seconds = check_gen_dgrl(archive, game, path, episodes=episodes)
        if there:
            echo_nothing_to_do(as_json, "import", path)
            return
        plan = {"would": "import", "path": str(path), "seconds": seconds}
        told = f"at most about {duration(seconds)} (its first episodes were timed)"
        echo_result(as_json, plan, f"would import {archive} into {path}: {told}.")
        return
    start = time.perf_counter()
    with ProgressBar(f"importing {game}", episodes) as bar, memory_limit(MAX_MEMORY):
        info = import_gen_dgrl(
            archive, game, path, episodes=episodes, command=command_line(), on_episode=bar.advance
        )
    echo_dataset(as_json, path, info, time.perf_counter() - start)
    say_next("distill", path)


@command.command("d3rlpy", cls=ConfigCommand, epilog=D3RLPY_EPILOG)
@click.argument("source", metavar="NAME|FILE")
@click.option("--task", help="What it was recorded on, which files do not say, for example gym/CartPole-v1.")
@click.option(
    "--actions", type=click.IntRange(1), help="Number of discrete actions.  [default: the task's, or as d3rlpy]"
)
@click.option(
    "--data-directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("d3rlpy_data"),
    show_default=True,
    help="Where d3rlpy keeps what it downloads.",
)
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="File to make.  [default: data/NAME.h5]"
)
@plugin_option
@json_option
@dry_run_option
def d3rlpy_command(
    source: str,
    task: str | None,
    actions: int | None,
    data_directory: Path,
    out: Path | None,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Import one of d3rlpy's datasets: a FILE that it wrote, of version 1 or 2, or a NAME such as cartpole-replay.

    A FILE is enough: no environment is made. A NAME is downloaded once, as d3rlpy does, into its own directory.
    """
    from d3rlpy_distill.exchange import check_import_d3rlpy, import_d3rlpy

    from ..progress import ProgressBar

    path = out or Path("data") / f"{Path(source).stem}.h5"
    if dry_run:
        would = check_import_d3rlpy(source, path, task=task, action_size=actions, data_directory=data_directory)
        echo_transfer(as_json, "import", would)
        return
    start = time.perf_counter()
    with ProgressBar(f"importing {Path(source).name}", None) as bar:
        info = import_d3rlpy(
            source,
            path,
            task=task,
            action_size=actions,
            data_directory=data_directory,
            command=command_line(),
            on_episode=bar.advance,
        )
    echo_dataset(as_json, path, info, time.perf_counter() - start)
    say_next("distill", path)


@command.command("minari", cls=ConfigCommand, epilog=MINARI_EPILOG)
@click.argument("source", metavar="ID|PATH")
@click.option("--task", help="What it was recorded on.  [default: what the dataset says]")
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="File to make.  [default: data/NAME.h5]"
)
@plugin_option
@json_option
@dry_run_option
def minari_command(source: str, task: str | None, out: Path | None, as_json: bool, dry_run: bool) -> None:
    """Import one of Minari's datasets: its directory, its main_data.hdf5, or an ID, which Minari downloads.

    A directory is enough: no environment is made, nothing that the dataset names is run, and Minari itself is not
    needed. Seeds, terminations, truncations and spaces are kept.
    """
    from d3rlpy_distill.exchange import check_import_minari, import_minari

    from ..progress import ProgressBar

    path = out or Path("data") / f"{_minari_name(source)}.h5"
    if dry_run:
        echo_transfer(as_json, "import", check_import_minari(source, path, task=task))
        return
    start = time.perf_counter()
    with ProgressBar(f"importing {source}", None) as bar:
        info = import_minari(source, path, task=task, command=command_line(), on_episode=bar.advance)
    echo_dataset(as_json, path, info, time.perf_counter() - start)
    say_next("distill", path)


def _minari_name(source: str) -> str:
    """What a dataset is called: its id's parts, or the directory that holds it."""
    path = Path(source)
    if not path.exists():
        return source.replace("/", "-")
    parts = [part for part in path.absolute().parts if part not in ("data", "main_data.hdf5")]
    return Path(parts[-1]).stem
