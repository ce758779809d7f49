"""``rld-distill train-expert``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click

from ..options import (
    GAME,
    ConfigCommand,
    check_device,
    device_option,
    dry_run_option,
    echo_result,
    json_option,
    seed_option,
)

GPU_ENVS = 256  # a GPU idles with fewer

EPILOG = """
Examples:

  rld-distill train-expert starpilot --out experts/starpilot --max-minutes 120

  rld-distill train-expert starpilot --out experts/starpilot --resume

  rld-distill collect starpilot --expert experts/starpilot/starpilot.safetensors
"""


@click.command("train-expert", cls=ConfigCommand, epilog=EPILOG)
@click.argument("game", type=GAME)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="The run's directory.  [default: experts/GAME]",
)
@click.option(
    "--architecture",
    type=click.Choice(["impala", "impala-s2d"]),
    default="impala-s2d",
    show_default=True,
    help="Network; impala-s2d is several times faster.",
)
@click.option("--steps", type=click.IntRange(1), default=25_000_000, show_default=True, help="Environment steps.")
@click.option("--envs", type=click.IntRange(1), help="Environments at once.  [default: 64; on a GPU 256]")
@click.option("--horizon", type=click.IntRange(1), default=256, show_default=True, help="Steps between updates.")
@click.option("--epochs", type=click.IntRange(1), default=3, show_default=True, help="Passes in an update.")
@click.option("--minibatches", type=click.IntRange(1), default=8, show_default=True, help="Parts of a pass.")
@click.option(
    "--learning-rate", type=click.FloatRange(0, min_open=True), default=5e-4, show_default=True, help="Adam's."
)
@click.option("--start-level", type=click.IntRange(0), default=0, show_default=True, help="First training level.")
@click.option("--num-levels", type=click.IntRange(0), default=200, show_default=True, help="Training levels.")
@click.option("--mode", type=click.Choice(["easy", "hard"]), default="easy", show_default=True, help="Difficulty.")
@click.option("--init", help="Bundled expert or .safetensors file whose weights to start from.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "bfloat16", "float32"]),
    default="auto",
    show_default=True,
    help="Of the network; auto is bfloat16 where the processor or GPU computes in it.",
)
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out, exactly.")
@click.option(
    "--max-minutes",
    type=click.FloatRange(0, min_open=True),
    help="Stop after this time; --resume goes on.",
)
@click.option(
    "--card-episodes",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    help="Episodes for each return on the card.",
)
@click.option("--tensorboard", is_flag=True, help="Also write TensorBoard events to --out.")
@seed_option
@device_option
@json_option
@dry_run_option
def command(
    game: str,
    out: Path | None,
    architecture: str,
    steps: int,
    envs: int | None,
    horizon: int,
    epochs: int,
    minibatches: int,
    learning_rate: float,
    start_level: int,
    num_levels: int,
    mode: str,
    init: str | None,
    precision: str,
    resume: bool,
    max_minutes: float | None,
    card_episodes: int,
    tensorboard: bool,
    seed: int,
    device: str,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Train an expert on GAME with PPO (stable-baselines3; extra 'experts').

    Every update leaves a checkpoint, so a killed run loses seconds: add --resume to go on. When the steps are done
    or the minutes are over, the policy is played on training and on unseen levels and exported with its card.
    """
    check_device(device)
    from d3rlpy_distill.learner import keep_heap
    from procgen_datasets import Levels
    from procgen_datasets.errors import TrainingError
    from procgen_datasets.training import TrainExpertConfig, export_run, train_expert

    from ..machine import describe_machine

    try:
        config = TrainExpertConfig(
            game,
            architecture,
            steps=steps,
            envs=envs or (GPU_ENVS if device.startswith("cuda") else 64),
            horizon=horizon,
            epochs=epochs,
            minibatches=minibatches,
            learning_rate=learning_rate,
            levels=Levels(start_level, num_levels),
            mode=mode,
            seed=seed,
            init=init,
            precision=precision,
        )
    except (TrainingError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    directory = out or Path("experts") / game
    if dry_run:
        _echo_plan(as_json, config, directory)
        return
    from ..progress import ProgressBar

    keep_heap()
    with ProgressBar(f"training {game}", steps) as bar:
        last: dict[str, float] = {"seconds": 0.0, "steps": 0}

        def show(point: Any) -> None:
            speed = (point.steps - last["steps"]) / max(point.seconds - last["seconds"], 1e-9)
            last.update(seconds=point.seconds, steps=point.steps)
            if point.validation_return is not None:
                last["validation"] = point.validation_return
            note = f"{speed:,.0f} steps/s, return {point.train_return or 0:.2f}"
            if "validation" in last:
                note += f", validation {last['validation']:.2f}"
            bar.update(f"training {game}", point.steps, steps, note)

        result = train_expert(
            config,
            directory,
            resume=resume,
            max_minutes=max_minutes,
            device=device,
            tensorboard=tensorboard,
            on_update=show,
        )
    machine = describe_machine()
    with ProgressBar(f"playing {game}", 8 * card_episodes) as bar:
        paths = export_run(
            config,
            directory,
            result,
            machine=f"{machine['processor']}, {machine['cores']} cores",
            device=device,
            episodes=card_episodes,
            on_episode=bar.advance,
        )
    _echo_exported(as_json, paths, result.finished, directory)


def _echo_exported(as_json: bool, paths: list[Path], finished: bool, directory: Path) -> None:
    import json

    cards = {str(path): json.loads(path.with_suffix(".json").read_text()) for path in paths}
    lines = [
        f"{path}: {card['environment_steps']:,} steps, return {card['returns']['train']['sampled']['mean']:.2f} "
        f"on training levels, {card['returns']['ood']['sampled']['mean']:.2f} on all levels"
        for path, card in cards.items()
    ]
    if not finished:
        lines.append(f"the time ran out: run the command again with --resume to go on from {directory}")
    experts = [
        {"path": path, "environment_steps": card["environment_steps"], "returns": card["returns"]}
        for path, card in cards.items()
    ]
    echo_result(as_json, {"finished": finished, "directory": str(directory), "experts": experts}, "\n".join(lines))


def _echo_plan(as_json: bool, config: Any, directory: Path) -> None:
    updates = -(-config.steps // config.rollout)
    plan = {
        "would": "train-expert",
        "game": config.game,
        "architecture": config.architecture,
        "steps": config.steps,
        "updates": updates,
        "directory": str(directory),
    }
    text = (
        f"would train {config.architecture} on {config.game} for {config.steps:,} steps, {updates:,} updates of "
        f"{config.envs} environments x {config.horizon}, in {directory}; the first update tells the speed."
    )
    echo_result(as_json, plan, text)
