"""``rld-distill play``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from ..complete import Known
from ..duration import duration
from ..options import (
    ConfigCommand,
    dry_run_option,
    echo_result,
    json_option,
    overwrite_option,
    plugin_option,
    seed_option,
    trust_option,
)

EPILOG = """
Examples:

  rld-distill play starpilot starpilot results/starpilot/students/distilled-150/0.safetensors --out play.gif

  rld-distill play starpilot starpilot random --split validation --out unseen.gif

  rld-distill play gym/CartPole-v1 random --out cartpole.gif
"""


@click.command("play", cls=ConfigCommand, epilog=EPILOG)
@click.argument("task", type=Known("tasks"))
@click.argument("policies", nargs=-1, required=True)
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("play.gif"),
    show_default=True,
    help="Film to make, a .gif.",
)
@click.option("--split", help="Set of starts to play on.  [default: the task's first, such as id]")
@click.option("--start-level", type=click.IntRange(0), help="First level to draw from; of Procgen.")
@click.option("--num-levels", type=click.IntRange(1), help="Levels to draw from; of Procgen.  [default: 200]")
@click.option("--mode", type=click.Choice(["easy", "hard"]), help="Difficulty; of Procgen.  [default: easy]")
@click.option("--greedy/--sampled", default=False, show_default=True, help="How actions are chosen.")
@click.option("--max-steps", type=click.IntRange(1), default=600, show_default=True, help="Steps at most.")
@overwrite_option
@trust_option
@plugin_option
@seed_option
@json_option
@dry_run_option
def command(
    task: str,
    policies: tuple[str, ...],
    out: Path,
    split: str | None,
    start_level: int | None,
    num_levels: int | None,
    mode: str | None,
    greedy: bool,
    max_steps: int,
    overwrite: bool,
    trust: bool,
    seed: int,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Film POLICIES side by side from the same start of TASK, one episode each.

    A policy is a bundled expert, the file of an expert, that of a student which 'evaluate' kept, or 'random'.
    """
    from d3rlpy_distill.report.film import plan_film, policy_title
    from d3rlpy_distill.tasks import make_task

    from ..progress import ProgressBar

    if repeated := next((name for name in policies if policies.count(name) > 1), None):
        raise click.UsageError(f"{repeated} is named twice: name each policy once.")
    levels = start_level is not None or num_levels is not None
    if split is not None and levels:
        raise click.UsageError("--split names its levels: leave out --start-level and --num-levels, or --split.")
    played = make_task(task)
    if levels or mode is not None:
        recorded = {"start": start_level or 0, "num": 200 if num_levels is None else num_levels}
        asked = played.for_dataset({"levels": recorded, "distribution_mode": mode or "easy"})
        if asked is played:
            raise click.UsageError(
                f"--mode, --start-level and --num-levels are for Procgen's tasks: leave them out for {played.name}."
            )
        played = asked
    film = plan_film(played, policies, out, split=split, trust=trust, overwrite=overwrite)
    if dry_run:
        seconds = film.seconds(greedy=greedy, seed=seed, max_steps=max_steps)
        plan = {"would": "play", "path": str(out), "steps": max_steps, "seconds": seconds}
        told = f"at most about {duration(seconds)} (first steps were timed)"
        echo_result(
            as_json, plan, f"would film {len(policies)} policies for {max_steps} steps into {out}: {told}."
        )
        return
    with ProgressBar(f"filming {played.name}", max_steps) as bar:
        returns = film.save(greedy=greedy, seed=seed, max_steps=max_steps, on_shot=bar.advance)
    result = {"path": str(out), "task": played.name, "returns": dict(zip(policies, returns, strict=True))}
    text = ", ".join(f"{policy_title(name)} {value:g}" for name, value in zip(policies, returns, strict=True))
    echo_result(as_json, result, f"{out}: returns {text}")
