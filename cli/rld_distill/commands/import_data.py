"""``rld-distill import``."""

from __future__ import annotations

import time
from pathlib import Path

import rich_click as click

from ..dataset_result import echo_dataset
from ..options import ConfigCommand, command_line, json_option

MAX_MEMORY = 2**32
"""Bytes that an import may take: the largest episode that is admitted (6000 steps, float64, protocol 2) takes 1.8e9."""

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
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="File to make.  [default: data/GAME.h5]"
)
@json_option
def gen_dgrl_command(archive: Path, game: str, episodes: int | None, out: Path | None, as_json: bool) -> None:
    """Import ARCHIVE, a .tar.xz of gen_dgrl's Procgen data (arXiv 2312.05742).

    Its pickles are read by a reader that builds numpy arrays and refuses everything else.
    """
    from d3rlpy_distill.memory import memory_limit
    from procgen_datasets.gen_dgrl import import_gen_dgrl

    from ..progress import ProgressBar

    path = out or Path("data") / f"{game}.h5"
    start = time.perf_counter()
    with ProgressBar(f"importing {game}", episodes) as bar, memory_limit(MAX_MEMORY):
        info = import_gen_dgrl(
            archive, game, path, episodes=episodes, command=command_line(), on_episode=bar.advance
        )
    echo_dataset(as_json, path, info, time.perf_counter() - start)
