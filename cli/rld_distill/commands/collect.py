"""``rld-distill collect``."""

from __future__ import annotations

import time
from pathlib import Path

import rich_click as click

from ..dataset_result import echo_dataset
from ..options import (
    GAME,
    ConfigCommand,
    check_device,
    command_line,
    device_option,
    dry_run_option,
    echo_result,
    json_option,
    seed_option,
)

STEPS_AN_EPISODE = 300  # for estimates only: experts' episodes last 50 to 600 steps, depending on the game

EPILOG = """
Example:

  rld-distill collect starpilot --episodes 100 --out data/starpilot.h5
"""


@click.command("collect", cls=ConfigCommand, epilog=EPILOG)
@click.argument("game", type=GAME)
@click.option("--episodes", type=click.IntRange(1), default=100, show_default=True, help="Episodes to collect.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="File to make.  [default: data/GAME.h5]"
)
@click.option("--expert", help="Bundled expert, or a .safetensors file.  [default: the game's]")
@click.option("--start-level", type=click.IntRange(0), default=0, show_default=True, help="First level.")
@click.option(
    "--num-levels",
    type=click.IntRange(0),
    default=200,
    show_default=True,
    help="Levels; 0 means all there are.",
)
@click.option("--mode", type=click.Choice(["easy", "hard"]), default="easy", show_default=True, help="Difficulty.")
@click.option("--greedy/--sampled", default=False, show_default=True, help="How the expert's actions are chosen.")
@click.option("--envs", type=click.IntRange(1), help="Environments at once.  [default: 64, at most --episodes]")
@seed_option
@device_option
@json_option
@dry_run_option
def command(
    game: str,
    episodes: int,
    out: Path | None,
    expert: str | None,
    start_level: int,
    num_levels: int,
    mode: str,
    greedy: bool,
    envs: int | None,
    seed: int,
    device: str,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Play an expert on GAME and write what it did as a d3rlpy dataset.

    The file is d3rlpy's HDF5 with provenance beside the episodes. Run again into the same file, the command
    finds its own work and does nothing; it never overwrites anything else.
    """
    check_device(device)
    from procgen_datasets import CollectConfig, Levels, collect, load_expert

    path = out or Path("data") / f"{game}.h5"
    try:
        levels = Levels(start_level, num_levels)
        config = CollectConfig(game, expert, episodes, levels, mode, greedy, seed, envs)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if dry_run:
        seconds = episodes * STEPS_AN_EPISODE / _frames_per_second(load_expert(expert or game, device=device))
        _echo_plan(as_json, config.slots, episodes, path, seconds)
        return
    from ..progress import ProgressBar

    start = time.perf_counter()
    with ProgressBar(f"collecting {game}", episodes) as bar:
        info = collect(
            config, path, command=command_line(), device=device, on_episode=lambda episode: bar.advance()
        )
    echo_dataset(as_json, path, info, time.perf_counter() - start)


def _frames_per_second(expert: object) -> float:
    import torch

    frames = torch.zeros(64, 3, 64, 64, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    expert.logits(frames)  # type: ignore[attr-defined]
    start = time.perf_counter()
    for _ in range(5):
        expert.logits(frames)  # type: ignore[attr-defined]
    return 5 * 64 / (time.perf_counter() - start) / 2  # playing and writing take as long again


def _echo_plan(as_json: bool, slots: int, episodes: int, path: Path, seconds: float) -> None:
    from ..machine import duration

    plan = {
        "would": "collect",
        "episodes": episodes,
        "environments": slots,
        "path": str(path),
        "seconds": seconds,
    }
    echo_result(
        as_json,
        plan,
        f"would collect {episodes} episodes in {slots} environments into {path}: about {duration(seconds)} "
        f"if an episode lasts {STEPS_AN_EPISODE} steps.",
    )
