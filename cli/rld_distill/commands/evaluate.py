"""``rld-distill evaluate``."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import rich_click as click

from ..options import (
    ConfigCommand,
    check_device,
    command_line,
    device_option,
    dry_run_option,
    json_option,
    seed_option,
)

EPILOG = """
Example:

  rld-distill evaluate data/starpilot.h5 data/starpilot-150.h5 --students 10 --episodes 100 --out results/starpilot
"""
STEPS_AN_EPISODE = 200  # for estimates only


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
@click.option("--expert", help="Bundled expert, or a .safetensors file.  [default: the one that played REAL]")
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
    expert: str | None,
    seed: int,
    device: str,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Train students on REAL, on parts of it and on SYNTHETIC, play them on seen and unseen levels.

    Run again into the same directory, an interrupted evaluation goes on where it stopped.
    """
    check_device(device)
    from d3rlpy_distill.evaluation import BenchmarkConfig
    from d3rlpy_distill.presets import Budget
    from d3rlpy_distill.training import ConvergenceConfig

    config = BenchmarkConfig(
        students=students,
        episodes=episodes,
        bc=Budget(bc_steps, bc_batch),
        synthetic=Budget(synthetic_steps, synthetic_batch),
        convergence=ConvergenceConfig(steps=converged_steps),
        seed=seed,
    )
    results = evaluate_files(real, synthetic, out, config, unseen_levels, expert, device, as_json, dry_run)
    if results is not None:
        from d3rlpy_distill.report import build_tables, render

        if as_json:
            import json

            click.echo(json.dumps(results.to_json()))
        else:
            click.echo(render(build_tables(results), "md"))


def evaluate_files(
    real: Path,
    synthetic: Path,
    out: Path | None,
    config: Any,
    unseen_levels: str,
    expert: str | None,
    device: str,
    as_json: bool,
    dry_run: bool,
) -> Any:
    """Runs the benchmark on two files; returns its results, or None after a dry run."""
    from d3rlpy_distill.evaluation import run_benchmark, standard_arms
    from procgen_datasets import ALL_LEVELS, TRAIN_LEVELS, VALIDATION_LEVELS, load_dataset, load_expert
    from procgen_datasets.env import procgen_build
    from procgen_datasets.games import Levels, get_game
    from procgen_datasets.hdf5 import package_versions, read_extras
    from procgen_datasets.player import ProcgenPlayer
    from procgen_datasets.policies import RandomPolicy

    from ..machine import describe_machine
    from ..progress import ProgressBar

    shape = (3, 64, 64)
    real_buffer, real_info = load_dataset(real, observation_shape=shape)
    distilled, info = load_dataset(synthetic, observation_shape=shape)
    known = real_info.provenance
    if known is None:
        raise click.ClickException(
            f"{real} does not record its game and expert: expected a file of 'rld-distill collect'."
        )
    if info.provenance and info.provenance.settings.get("source_sha256") != real_info.content_sha256:
        raise click.ClickException(
            f"{synthetic} was not distilled from {real}: give the dataset it was made from "
            f"({info.provenance.settings.get('source')!r})."
        )
    if distilled.transition_count > real_buffer.transition_count:
        raise click.ClickException(
            f"{synthetic} has {distilled.transition_count} samples, more than the {real_buffer.transition_count} "
            f"transitions of {real}: the arguments are REAL, then SYNTHETIC."
        )
    game = get_game(known.game).name
    initial = _initial_buffer(distilled, read_extras(synthetic, "initial"))
    arms = standard_arms(real_buffer, initial, distilled, config)
    levels = Levels(**known.settings["levels"]) if "levels" in known.settings else TRAIN_LEVELS
    splits = {"id": levels, "ood": ALL_LEVELS if unseen_levels == "all" else VALIDATION_LEVELS}
    directory = out or Path("results") / game
    if dry_run:
        _echo_plan(as_json, config, arms, directory)
        return None
    expert_policy = load_expert(expert or known.settings["expert"], device=device)
    identity = {
        "real_sha256": real_info.content_sha256,
        "distilled_sha256": info.content_sha256,
        "levels": {name: dataclasses.asdict(value) for name, value in splits.items()},
        "distribution_mode": known.settings["distribution_mode"],
        "expert_sha256": expert_policy.sha256,
    }
    provenance = {
        "command": command_line(),
        "environment_build": procgen_build(),
        "packages": package_versions(),
        "machine": describe_machine(),
        "real": {"file": real.name, "command": known.command, "settings": dict(known.settings)},
        "distilled": {
            "file": synthetic.name,
            "command": info.provenance.command if info.provenance else None,
            "settings": dict(info.provenance.settings) if info.provenance else None,
        },
    }
    with ProgressBar("evaluating", 1) as bar:
        player = ProcgenPlayer(
            game, splits, config.episodes, seed=config.seed, mode=known.settings["distribution_mode"]
        )
        return run_benchmark(
            game,
            arms,
            {"random-policy": RandomPolicy(), "expert": expert_policy},
            player,
            config,
            directory,
            identity=identity,
            provenance=provenance,
            device=device,
            progress=bar.update,
        )


def _initial_buffer(distilled: Any, extras: Any) -> Any:
    """The buffer that distillation started from: other frames, the same actions and rewards."""
    import numpy as np

    from d3rlpy_distill import TransitionArrays, one_step_buffer

    if "observations" not in extras:
        return None
    data = TransitionArrays.from_buffer(distilled)
    if extras["observations"].shape != data.observations.shape:
        raise click.ClickException("the synthetic file's initial frames do not fit its samples: make it again.")
    return one_step_buffer(
        extras["observations"], data.actions, data.returns_to_go.astype(np.float32), data.action_size
    )


def _echo_plan(as_json: bool, config: Any, arms: Any, directory: Path) -> None:
    import numpy as np

    from d3rlpy_distill.learner import build_learner
    from d3rlpy_distill.presets import paper_student
    from d3rlpy_distill.training import Trainer

    from ..machine import duration
    from ..options import echo_result

    data = next(arm for arm in arms if arm.name == "bc-100").data(np.random.default_rng(0))
    learner = build_learner(paper_student(config.bc), data.observations.shape[1:], data.action_size, seed=0)
    trainer = Trainer(learner, data, np.random.default_rng(0))
    trainer.step()
    start = time.perf_counter()
    for _ in range(3):
        trainer.step()
    sample_seconds = (time.perf_counter() - start) / 3 / config.bc.batch_size
    n_samples = 0
    for arm in arms:
        steps = arm.budget.n_steps if arm.budget else config.convergence.steps
        batch = arm.budget.batch_size if arm.budget else config.bc.batch_size
        n_samples += steps * batch * config.students
    frames = 4 * STEPS_AN_EPISODE * config.episodes * (2 + len(arms) * config.students)
    seconds = sample_seconds * (n_samples + frames / 3)  # a forward pass is about a third of a training step
    text = (
        f"would train {len(arms)} arms x {config.students} students and play each {config.episodes} episodes on "
        f"two splits, sampled and greedy, into {directory}: at most about {duration(seconds)} "
        "(training steps were timed)."
    )
    echo_result(as_json, {"would": "evaluate", "out": str(directory), "seconds": seconds}, text)
