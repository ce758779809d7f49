"""``rld-distill collect``."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import rich_click as click

from ..complete import Known
from ..dataset_result import echo_dataset
from ..duration import duration
from ..generated import GENERATED
from ..interrupted import Interrupted
from ..options import (
    check_device,
    command_line,
    device_option,
    dry_run_option,
    echo_nothing_to_do,
    echo_result,
    json_option,
    plugin_option,
    trust_option,
)
from ..speech import say_next
from ..tasks import TaskCommand

if TYPE_CHECKING:
    from d3rlpy_distill.tasks import Task

EPILOG = """
Examples:

  rld-distill collect starpilot --episodes 100 --out data/starpilot.h5

  rld-distill collect gym/CartPole-v1 --policy random --episodes 50

  rld-distill collect gym/LunarLander-v3 --policy experts/LunarLander-v3/policy.zip --trust
"""


class _CollectCommand(TaskCommand):
    also: ClassVar[Mapping[str, Sequence[str]]] = {"policy": ("--expert",)}  # its name in version 0.1

    def settings_of(self, task: Task | None) -> type[Any]:
        from d3rlpy_distill.tasks import CollectSettings

        return CollectSettings if task is None else task.collect_settings

    def in_force(self, ctx: click.Context) -> dict[str, Any]:
        """What the task gives: its expert, the environments at once, the file to make."""
        from d3rlpy_distill.tasks import make_task

        values, generated = dict(ctx.params), ctx.meta[GENERATED]
        played = make_task(values["task"])
        settings = played.settle(played.collect_settings(**generated.take(values)))
        out = _out(values["out"], played)
        return {
            "out": out,
            **{name: getattr(settings, field.name) for name, (field, _) in generated.fields.items()},
        }


@click.command("collect", cls=_CollectCommand, epilog=EPILOG)
@click.argument("task", type=Known("tasks"))
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to make.  [default: data/NAME.h5, NAME of the task]",
)
@trust_option
@plugin_option
@device_option
@json_option
@dry_run_option
def command(
    task: str, out: Path | None, trust: bool, device: str, as_json: bool, dry_run: bool, settings: dict[str, Any]
) -> None:
    """Play a policy on TASK and write what it did as a d3rlpy dataset.

    TASK is a game of Procgen's, gym/ID with any id of gymnasium's, or another of 'rld-distill list tasks'; a task has
    options of its own, which 'rld-distill collect TASK --help' shows. The file is d3rlpy's HDF5 with provenance beside
    the episodes. Run again into the same file, the command finds its own work and does nothing; it never overwrites
    anything else. Interrupted, a collection of more than 16 episodes an environment goes on after its last whole block
    of episodes; a smaller one, and one of gymnasium's, begins anew.
    """
    check_device(device)
    from d3rlpy_distill.estimates import collection_seconds
    from d3rlpy_distill.tasks import PARTS, make_task

    from ..progress import ProgressBar

    played = make_task(task)
    path = _out(out, played)
    chosen = played.collect_settings(**settings)
    if dry_run:
        if played.check_collection(chosen, path, device=device, trust=trust):
            echo_nothing_to_do(as_json, "collect", path)
            return
        seconds, steps = collection_seconds(played, chosen, device=device, trust=trust)
        _echo_plan(as_json, chosen.episodes, path, seconds, steps)
        return
    start = time.perf_counter()
    try:
        with ProgressBar(f"collecting {played.name}", chosen.episodes) as bar:
            info = played.collect(
                chosen, path, command=command_line(), device=device, trust=trust, on_episode=bar.advance
            )
    except KeyboardInterrupt:
        if not any(path.with_name(path.name + PARTS).glob("*.h5")):
            raise
        raise Interrupted("run the same command again to go on after the last whole block of episodes") from None
    echo_dataset(as_json, path, info, time.perf_counter() - start)
    say_next("distill", path)


def _out(out: Path | None, task: Task) -> Path:
    return out or Path("data") / f"{task.name.rpartition('/')[2]}.h5"


def _echo_plan(as_json: bool, episodes: int, path: Path, seconds: float, steps: int) -> None:
    plan = {"would": "collect", "episodes": episodes, "path": str(path), "seconds": seconds}
    about = f"about {duration(seconds)} if an episode lasts {steps} steps"
    text = f"would collect {episodes} episodes into {path}: {about}."
    echo_result(as_json, plan, text)
