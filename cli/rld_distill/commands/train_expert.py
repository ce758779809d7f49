"""``rld-distill train-expert``."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from ..complete import Known
from ..duration import duration
from ..interrupted import Interrupted
from ..options import check_device, device_option, dry_run_option, echo_result, json_option, plugin_option
from ..speech import say_next
from ..tasks import TaskCommand

if TYPE_CHECKING:
    from d3rlpy_distill.tasks import Task, TrainedPolicy, TrainSettings

EPILOG = """
Examples:

  rld-distill train-expert starpilot --out experts/starpilot --max-minutes 120

  rld-distill train-expert starpilot --out experts/starpilot --resume

  rld-distill collect starpilot --policy experts/starpilot/starpilot.safetensors

  rld-distill train-expert gym/LunarLander-v3
"""


class _Minutes(click.ParamType):  # type: ignore[type-arg]
    """A time that ends."""

    name = "minutes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            minutes = float(value)
        except (TypeError, ValueError):
            minutes = math.nan
        if not (math.isfinite(minutes) and minutes > 0):
            self.fail(f"{value!r}: expected minutes above 0, for example 120.", param, ctx)
        return minutes


class _TrainCommand(TaskCommand):
    def settings_of(self, task: Task | None) -> type[Any]:
        from d3rlpy_distill.tasks import TrainSettings

        return TrainSettings if task is None else task.train_settings()


@click.command("train-expert", cls=_TrainCommand, epilog=EPILOG)
@click.argument("task", type=Known("tasks"))
@click.option(
    "-o",
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="The run's directory.  [default: experts/NAME, NAME of the task]",
)
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out.")
@click.option(
    "--max-minutes",
    type=_Minutes(),
    help="Stop after this time; --resume goes on.",
)
@click.option(
    "--card-episodes",
    type=click.IntRange(1, 10_000),
    default=200,
    show_default=True,
    help="Episodes for each return on the card.",
)
@click.option("--tensorboard", is_flag=True, help="Also write TensorBoard events to --out.")
@plugin_option
@device_option
@json_option
@dry_run_option
def command(
    task: str,
    out: Path | None,
    resume: bool,
    max_minutes: float | None,
    card_episodes: int,
    tensorboard: bool,
    device: str,
    as_json: bool,
    dry_run: bool,
    settings: dict[str, Any],
) -> None:
    """Train an expert on TASK with stable-baselines3 (extra 'experts').

    TASK is a game of Procgen's, gym/ID with any id of gymnasium's, or another of 'rld-distill list tasks'; a task has
    options of its own, which 'rld-distill train-expert TASK --help' shows. A run keeps checkpoints: add --resume to go
    on with one that was stopped. When the steps are done or the minutes are over, the policy is played and exported.
    """
    check_device(device)
    from d3rlpy_distill.estimates import training_seconds
    from d3rlpy_distill.tasks import CHECKPOINT, make_task

    from ..progress import ProgressBar

    played = make_task(task)
    chosen = played.train_settings()(**settings)
    directory = out or Path("experts") / played.name.rpartition("/")[2]
    if dry_run:
        played.check_training(directory, resume=resume)
        seconds = training_seconds(played, chosen, max_minutes=max_minutes, device=device)
        _echo_plan(as_json, played.name, chosen, directory, seconds)
        return
    try:
        with ProgressBar(f"training {played.name}", chosen.steps) as bar:
            experts, finished = played.train_expert(
                chosen,
                directory,
                resume=resume,
                max_minutes=max_minutes,
                device=device,
                tensorboard=tensorboard,
                card_episodes=card_episodes,
                on_update=lambda steps, note: bar.update(f"training {played.name}", steps, chosen.steps, note),
            )
    except KeyboardInterrupt:
        if not (directory / CHECKPOINT).exists():
            raise
        again = "" if resume else " with --resume"
        raise Interrupted(f"run the same command again{again} to go on") from None
    _echo_trained(as_json, experts, finished, directory)
    if finished and experts:
        policy = experts[-1].path
        say_next("collect", task, "--policy", policy, *(["--trust"] if policy.suffix == ".zip" else []))


def _echo_trained(as_json: bool, experts: Sequence[TrainedPolicy], finished: bool, directory: Path) -> None:
    lines = [
        f"{one.path}: {one.steps:,} steps, return "
        + ", ".join(f"{value:.2f} on {split}" for split, value in one.returns.items())
        for one in experts
    ]
    if not finished:
        lines.append(f"the time ran out: run the command again with --resume to go on from {directory}")
    values = [
        {"path": str(one.path), "environment_steps": one.steps, "returns": dict(one.returns)} for one in experts
    ]
    echo_result(as_json, {"finished": finished, "directory": str(directory), "experts": values}, "\n".join(lines))


def _echo_plan(as_json: bool, task: str, settings: TrainSettings, directory: Path, seconds: float) -> None:
    chosen = dataclasses.asdict(settings)
    plan = {
        "would": "train-expert",
        "task": task,
        "settings": chosen,
        "directory": str(directory),
        "seconds": seconds,
    }
    text = (
        f"would train on {task} for {settings.steps:,} steps, in {directory}: about {duration(seconds)} (the first "
        "updates were timed), and then play what was trained."
    )
    echo_result(as_json, plan, text)
