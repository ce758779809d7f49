"""``rld-distill evaluate``."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from ..options import (
    ConfigCommand,
    Names,
    check_device,
    device_option,
    dry_run_option,
    echo_result,
    json_option,
    seed_option,
)

if TYPE_CHECKING:
    from d3rlpy_distill.evaluation import Arm, BenchmarkConfig, Results

    from ..evaluation_inputs import EvaluationInputs

EPILOG = """
Example:

  rld-distill evaluate data/starpilot.h5 data/starpilot-150.h5 --students 10 --episodes 100 --out results/starpilot
"""
STEPS_AN_EPISODE = 200  # for estimates only
STOCK = 4  # likewise: d3rlpy's fit against ours
ARM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
ALGOS = ("bc", "cql", "bcq", "dqn", "sac", "dt")


def _parse_also(value: tuple[str, ...]) -> dict[str, Path]:
    from d3rlpy_distill.evaluation import is_reserved

    arms: dict[str, Path] = {}
    for item in value:
        name, separator, file = item.partition("=")
        if not (separator and file and ARM_NAME.fullmatch(name)):
            raise click.UsageError(f"--also {item!r}: expected NAME=FILE, NAME of letters, digits and -.")
        if name in arms or is_reserved(name):
            raise click.UsageError(f"--also {name!r}: the table has an arm of that name; give another.")
        arms[name] = Path(file)
    return arms


@click.command("evaluate", cls=ConfigCommand, epilog=EPILOG)
@click.argument("real", type=click.Path(path_type=Path))
@click.argument("synthetic", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for students, returns and results.json.  [default: results/GAME]",
)
@click.option("--students", type=click.IntRange(1), default=10, show_default=True, help="Students an arm.")
@click.option(
    "--episodes",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Episodes each, split and mode.",
)
@click.option("--bc-steps", type=click.IntRange(1), default=1000, show_default=True, help="Steps on real data.")
@click.option("--bc-batch", type=click.IntRange(1), default=256, show_default=True, help="Batch on real data.")
@click.option(
    "--synthetic-steps", type=click.IntRange(1), default=100, show_default=True, help="Steps on small sets."
)
@click.option(
    "--synthetic-batch", type=click.IntRange(1), default=15, show_default=True, help="Batch on small sets."
)
@click.option(
    "--converged-steps",
    type=click.IntRange(1),
    default=2000,
    show_default=True,
    help="Steps over which bc-100-converged anneals its learning rate to zero.",
)
@click.option(
    "--unseen-levels",
    type=click.Choice(["all", "validation"]),
    default="all",
    show_default=True,
    help="What 'ood' plays: all levels, or 200-299, the only ones to choose anything on.",
)
@click.option(
    "--also",
    multiple=True,
    metavar="NAME=FILE",
    help="A further synthetic file of REAL as an arm, for example paper-150=data/paper.h5; repeatable.",
)
@click.option("--arms", type=Names(), help="Only these arms, for example expert,bc-100,random-150,distilled-150.")
@click.option("--expert", help="Bundled expert, or a .safetensors file.  [default: the one that played REAL]")
@click.option(
    "--algos",
    type=Names(ALGOS),
    help="Instead of the arms, compare algorithms of d3rlpy on full, percentile, random and distilled data: "
    "some of bc,cql,bcq,dqn,sac,dt.",
)
@seed_option
@device_option
@json_option
@dry_run_option
def command(
    real: Path,
    synthetic: Path,
    out: Path | None,
    students: int,
    episodes: int,
    bc_steps: int,
    bc_batch: int,
    synthetic_steps: int,
    synthetic_batch: int,
    converged_steps: int,
    unseen_levels: str,
    also: tuple[str, ...],
    arms: list[str] | None,
    expert: str | None,
    algos: list[str] | None,
    seed: int,
    device: str,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Train students on REAL, on parts of it and on SYNTHETIC, play them on seen and unseen levels.

    Run again into the same directory, an interrupted evaluation goes on where it stopped.
    """
    check_device(device)
    from d3rlpy_distill.convergence import ConvergenceConfig
    from d3rlpy_distill.evaluation import BenchmarkConfig
    from d3rlpy_distill.presets import Budget
    from d3rlpy_distill.report import build_tables, render

    from ..evaluation_inputs import open_inputs

    config = BenchmarkConfig(
        students=students,
        episodes=episodes,
        bc=Budget(bc_steps, bc_batch),
        synthetic=Budget(synthetic_steps, synthetic_batch),
        convergence=ConvergenceConfig(steps=converged_steps),
        seed=seed,
    )
    algos = algos or []
    if algos and (also or arms):
        raise click.UsageError("--arms and --also are for the table of arms: leave them out with --algos.")
    inputs = open_inputs(
        real, synthetic, others=_parse_also(also), unseen_levels=unseen_levels, expert=expert, device=device
    )
    if algos and inputs.soft:
        raise click.UsageError(
            f"--algos trains on actions, and {synthetic} has soft labels: give a file of another --method."
        )
    directory = out or Path("results") / (f"{inputs.game}-algorithms" if algos else inputs.game)
    if dry_run:
        _echo_plan(as_json, config, inputs, algos, arms, directory)
        return
    results = _evaluate(inputs, algos, arms, config, directory, device)
    if as_json:
        click.echo(json.dumps(results.to_json()))
    else:
        click.echo(render(build_tables(results), "md"))


def _choose_arms(
    inputs: EvaluationInputs, config: BenchmarkConfig, only: list[str] | None
) -> tuple[dict[str, Any], list[Arm]]:
    """Returns the policies and the arms that train students."""
    from d3rlpy_distill.evaluation import standard_arms

    arms = list(standard_arms(inputs.real, inputs.initial, inputs.distilled, config, inputs.others))
    if inputs.soft:  # it has an arm of its own name, and without its labels it is a random subset
        arms = [arm for arm in arms if not arm.name.startswith(("init-", "distilled-"))]
    if only is None:
        return inputs.policies, arms
    known = [*inputs.policies, *(arm.name for arm in arms)]
    if unknown := [name for name in only if name not in known]:
        raise click.UsageError(f"--arms {unknown[0]!r}: expected some of {','.join(known)}.")
    policies = {name: policy for name, policy in inputs.policies.items() if name in only}
    return policies, [arm for arm in arms if arm.name in only]


def _evaluate(
    inputs: EvaluationInputs,
    algos: list[str],
    only: list[str] | None,
    config: BenchmarkConfig,
    directory: Path,
    device: str,
) -> Results:
    from d3rlpy_distill.evaluation import run_algorithms, run_benchmark
    from procgen_datasets.player import ProcgenPlayer

    from ..progress import ProgressBar

    policies, arms = (inputs.policies, []) if algos else _choose_arms(inputs, config, only)
    player = ProcgenPlayer(inputs.game, inputs.splits, config.episodes, seed=config.seed, mode=inputs.mode)
    with ProgressBar("evaluating", 1) as bar:
        settings: dict[str, Any] = {
            "identity": inputs.identity,
            "provenance": inputs.provenance,
            "device": device,
            "progress": bar.update,
        }
        if algos:
            real, distilled = inputs.real, inputs.distilled
            return run_algorithms(
                inputs.game, algos, real, distilled, inputs.policies, player, config, directory, **settings
            )
        return run_benchmark(inputs.game, arms, policies, player, config, directory, **settings)


def _echo_plan(
    as_json: bool,
    config: BenchmarkConfig,
    inputs: EvaluationInputs,
    algos: list[str],
    only: list[str] | None,
    directory: Path,
) -> None:
    import numpy as np

    from d3rlpy_distill import TransitionArrays
    from d3rlpy_distill.learner import build_learner
    from d3rlpy_distill.presets import Budget, paper_student
    from d3rlpy_distill.training import Trainer

    from ..machine import duration

    data = TransitionArrays.from_buffer(inputs.real)
    learner = build_learner(paper_student(config.bc), data.observations.shape[1:], data.action_size, seed=0)
    trainer = Trainer(learner, data, np.random.default_rng(0))
    trainer.step()
    start = time.perf_counter()
    for _ in range(3):
        trainer.step()
    sample_seconds = (time.perf_counter() - start) / 3 / config.bc.batch_size
    if algos:
        # d3rlpy's own fit takes 3 to 4 times as long as ours, and most algorithms twice that of cloning
        real, small = (2 * STOCK * b.n_steps * b.batch_size for b in (config.bc, config.synthetic))
        trained, arms = len(algos) * (2 * real + 2 * small), 4 * len(algos)
    else:
        _, standard = _choose_arms(inputs, config, only)
        budgets = [arm.budget or Budget(config.convergence.steps, config.bc.batch_size) for arm in standard]
        trained, arms = sum(b.n_steps * b.batch_size for b in budgets), len(standard)
    frames = 4 * STEPS_AN_EPISODE * config.episodes * (2 + arms * config.students)
    # a forward pass is about a third of a training step
    seconds = sample_seconds * (trained * config.students + frames / 3)
    text = (
        f"would train {arms} arms x {config.students} students and play each {config.episodes} episodes on "
        f"two splits, sampled and greedy, into {directory}: at most about {duration(seconds)} "
        "(training steps were timed)."
    )
    echo_result(as_json, {"would": "evaluate", "out": str(directory), "seconds": seconds}, text)
