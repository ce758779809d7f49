"""``rld-distill evaluate``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from ..complete import Known
from ..counted import Counted
from ..duration import duration
from ..executors import chosen_executor, executor_options, off_stdout
from ..options import (
    ConfigCommand,
    Names,
    Numbers,
    check_device,
    command_line,
    device_option,
    dry_run_option,
    echo_result,
    json_option,
    plugin_option,
    seed_option,
    trust_option,
    warn,
)
from ..played import budget, budget_options, in_force
from ..speech import say_next
from ..tables import show_tables

if TYPE_CHECKING:
    from d3rlpy_distill.evaluation import Tuning
    from d3rlpy_distill.evaluation.results import ArmResult
    from d3rlpy_distill.pipeline import Evaluation

EPILOG = """
Examples:

  rld-distill evaluate data/starpilot.h5 data/starpilot-150.h5 --students 10 --episodes 100 --out results/starpilot

  rld-distill evaluate data/starpilot.h5 data/starpilot-150.h5 --student cql,dqn,sac

  rld-distill evaluate data/starpilot.h5 data/starpilot-soft-150.h5 --random-soft 600 --add-arms actions-of-soft-150

  rld-distill evaluate data/starpilot.h5 data/starpilot-soft-150.h5 --student impala-s2d --tune strong

  rld-distill evaluate data/cartpole.h5 data/cartpole-50.h5 --coresets herding,k-center
"""


class _EvaluateCommand(ConfigCommand):
    def in_force(self, ctx: click.Context) -> dict[str, Any]:
        """What REAL's task and its student give; a dataset that has a name alone is not made for that."""
        values = ctx.params
        if not Path(values["real"]).exists():
            warn(f"{values['real']} is no file: what its task gives is left out.")
            return {}
        students = _students(values["student"], values["algos"])
        return in_force(values["real"], values, students, _splits(values["splits"], values["unseen_levels"]))


@click.command("evaluate", cls=_EvaluateCommand, epilog=EPILOG)
@click.argument("real", type=Known("datasets", files=True))
@click.argument("synthetic", nargs=-1, type=Known("datasets", files=True))
@click.option(
    "-o",
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for students, returns and results.json.  [default: results/TASK, or results/TASK-STUDENT]",
)
@click.option("--task", type=Known("tasks"), help="What is played.  [default: what REAL was recorded on]")
@click.option(
    "--student",
    type=Names(known="students"),
    help="Some of 'rld-distill list students', comma-separated.  [default: the task's]",
)
@click.option("--splits", type=Names(), help="Sets of starts to play.  [default: the task's, such as id,ood]")
@click.option("--students", type=click.IntRange(1), default=10, show_default=True, help="Students an arm.")
@click.option(
    "--episodes",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Episodes each, split and mode.",
)
@budget_options
@click.option(
    "--converged-steps",
    type=click.IntRange(1),
    default=2000,
    show_default=True,
    help="Steps over which bc-100-converged anneals its learning rate to zero.",
)
@click.option(
    "--tune",
    metavar="GRID",
    type=Names(),
    help="Choose every arm's steps and batch on validation starts: 'strong', or budgets such as 300x64,1000x64.",
)
@click.option(
    "--learning-rates",
    metavar="RATES",
    type=Names(),
    help="What --tune tries with each budget, for example 5e-4,1e-3.  [default: the grid's, else the student's own]",
)
@click.option("--tune-students", type=click.IntRange(1), help="Students a trial of --tune.  [default: 3]")
@click.option("--tune-episodes", type=click.IntRange(1), help="Validation episodes of each.  [default: 50]")
@click.option(
    "--also",
    multiple=True,
    metavar="NAME=FILE",
    help="A further synthetic file of REAL as an arm, for example paper-150=data/paper.h5; repeatable.",
)
@click.option(
    "--arms",
    type=Names(),
    help="Only these arms, for example expert,bc-100,random-150,distilled-150, and those of --coresets and "
    "--random-soft.",
)
@click.option(
    "--coresets", type=Names(known="coresets"), help="Further arms: some of 'rld-distill list coresets'."
)
@click.option(
    "--random-soft",
    type=Numbers(),
    metavar="SIZES",
    help="Also random frames of these sizes with labels of each SYNTHETIC's teachers, for example 150,600,1500.",
)
@click.option(
    "--add-arms",
    type=Names(),
    help="Also these arms, left out by default: bc-100-soft, bc-100-of-expert, actions-of-NAME or init-of-NAME.",
)
@click.option(
    "--ensembles", is_flag=True, help="Also play the students of each arm as one, their decisions averaged."
)
@click.option("--expert", help="A policy's name or file.  [default: the one that played REAL]")
@trust_option
@executor_options
@click.option(
    "--unseen-levels",
    type=click.Choice(["all", "validation"]),
    hidden=True,
    help="Now --splits; of version 0.1.",
)
@click.option("--algos", type=Names(), hidden=True, help="Now --student; of version 0.1.")
@plugin_option
@seed_option
@device_option
@json_option
@dry_run_option
def command(
    real: str,
    synthetic: tuple[str, ...],
    out: Path | None,
    task: str | None,
    student: list[str] | None,
    splits: list[str] | None,
    students: int,
    episodes: int,
    full_steps: int | None,
    full_batch: int | None,
    small_steps: int | None,
    small_batch: int | None,
    converged_steps: int,
    tune: list[str] | None,
    learning_rates: list[str] | None,
    tune_students: int | None,
    tune_episodes: int | None,
    also: tuple[str, ...],
    arms: list[str] | None,
    coresets: list[str] | None,
    random_soft: list[int] | None,
    add_arms: list[str] | None,
    ensembles: bool,
    expert: str | None,
    trust: bool,
    executor: str,
    address: str | None,
    jobs: int | None,
    cores: int,
    unseen_levels: str | None,
    algos: list[str] | None,
    seed: int,
    device: str,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Train students on REAL, on parts of it and on each SYNTHETIC, and play them.

    REAL and SYNTHETIC are files, or names of 'rld-distill list datasets'. Run again into the same directory, an
    interrupted evaluation goes on where it stopped.
    """
    check_device(device)
    if not synthetic and not also:
        raise click.UsageError(
            f"Missing argument 'SYNTHETIC': give what 'rld-distill distill {real}' makes of {real}, or a name of "
            "'rld-distill list datasets'."
        )
    from d3rlpy_distill import ConvergenceConfig, Protocol
    from d3rlpy_distill.estimates import evaluation_seconds
    from d3rlpy_distill.pipeline import load, load_distilled, plan_evaluation
    from d3rlpy_distill.report import build_tables

    from ..progress import ProgressBar

    names = _students(student, algos)
    plan = plan_evaluation(
        load(real, task=task),
        [load_distilled(one, device=device) for one in synthetic],
        also={name: load_distilled(file, device=device) for name, file in _parse_also(also).items()},
        student=names,
        task=task,
        splits=_splits(splits, unseen_levels),
        protocol=Protocol(
            students=students,
            episodes=episodes,
            full=budget(full_steps, full_batch),
            small=budget(small_steps, small_batch),
            convergence=ConvergenceConfig(steps=converged_steps),
            seed=seed,
            tuning=_tuning(tune, learning_rates, tune_students, tune_episodes),
            ensembles=ensembles,
        ),
        arms=arms,
        coresets=coresets or (),
        random_soft=random_soft or (),
        add_arms=add_arms or (),
        expert=expert,
        trust=trust,
        device=device,
        command=command_line(),
    )
    directory = out or Path("results") / _directory(plan, names, algos)
    runs_on = chosen_executor(executor, address, jobs, cores)
    if dry_run:
        plan.check(directory)
        _echo_plan(as_json, plan, directory, evaluation_seconds(plan, device=device))
        return
    count = Counted(len(plan.policies) + len(plan.arms) * (1 + ensembles))
    with off_stdout(), ProgressBar("evaluating", 1) as bar:

        def ended(entries: Sequence[ArmResult]) -> None:
            first = entries[0]  # those of the first mode are told
            returns = [f"{one.split} {one.mean:.2f}" for one in entries if one.mode == first.mode]
            bar.line(count.ended(f"{first.name}: {', '.join(returns)}"))

        told = [bar.line(f"Warning: {note}") for note in plan.notes]
        results = plan.run(
            directory,
            executor=runs_on,
            cores=cores,
            device=device,
            progress=lambda what, done, total: bar.update("evaluating", done, total, f"{count} arms; {what}"),
            on_arm=ended,
        )
    if as_json:
        click.echo(json.dumps(results.to_json()))
    else:
        show_tables(build_tables(results), kept=directory)
    for note, shown in zip(plan.notes, told, strict=True):
        if not shown:
            warn(note)
    say_next("report", directory, "--out", f"{directory.name}.html")


def _parse_also(value: tuple[str, ...]) -> dict[str, str]:
    arms: dict[str, str] = {}
    for item in value:
        name, separator, file = item.partition("=")
        if not (separator and name and file):
            raise click.UsageError(f"--also {item!r}: expected NAME=FILE.")
        if name in arms:
            raise click.UsageError(f"--also {name!r}: given twice; give another name.")
        arms[name] = file
    return arms


def _students(student: list[str] | None, algos: list[str] | None) -> list[str] | None:
    """The students that are meant; version 0.1 had a list of algorithms."""
    if algos is None:
        return student
    if student is not None:
        raise click.UsageError("--algos is now --student: give one of the two.")
    warn(f"--algos is now --student {','.join(algos)}.")
    return algos


def _splits(splits: list[str] | None, unseen_levels: str | None) -> list[str] | None:
    """The splits that are meant; version 0.1 had two, and a choice for the second."""
    if unseen_levels is None:
        return splits
    if splits is not None:
        raise click.UsageError("--unseen-levels is now --splits: give one of the two.")
    if unseen_levels == "all":
        warn("--unseen-levels all is what is played by default: leave it out.")
        return None
    warn("--unseen-levels validation is now --splits id,validation.")
    return ["id", "validation"]


def _tuning(
    grid: list[str] | None, rates: list[str] | None, students: int | None, episodes: int | None
) -> Tuning | None:
    """How budgets are tuned: over the grid of a name, or over budgets such as ``300x64``."""
    from d3rlpy_distill.errors import SettingsError
    from d3rlpy_distill.evaluation import grid_of

    if grid is None:
        if rates is not None:
            raise click.UsageError("--learning-rates are tried by --tune: give both, or leave them out.")
        if students is not None or episodes is not None:
            raise click.UsageError("--tune-students and --tune-episodes are those of --tune: give it, too.")
        return None
    try:
        given = None if rates is None else tuple(float(rate) for rate in rates)
    except ValueError:
        raise click.UsageError(
            f"--learning-rates {','.join(rates or ())}: expected for example 5e-4,1e-3."
        ) from None
    try:
        tuning = grid_of(grid)
    except SettingsError as error:
        raise click.UsageError(f"--tune {error}") from None
    tuning = dataclasses.replace(
        tuning, students=students or tuning.students, episodes=episodes or tuning.episodes
    )
    return tuning if given is None else dataclasses.replace(tuning, learning_rates=given)


def _directory(plan: Evaluation, students: list[str] | None, algos: list[str] | None) -> str:
    name = plan.task.name.rpartition("/")[2]
    if students is None:
        return name
    return f"{name}-algorithms" if algos is not None else "-".join([name, *students])


def _echo_plan(as_json: bool, plan: Evaluation, directory: Path, seconds: float) -> None:
    notes = list(plan.notes)
    value: dict[str, Any] = {"would": "evaluate", "out": str(directory), "seconds": seconds, "notes": notes}
    text = (
        f"would train {len(plan.arms)} arms x {plan.protocol.students} students and play each "
        f"{plan.protocol.episodes} episodes on {', '.join(plan.splits)}, {' and '.join(plan.task.modes)}, into "
        f"{directory}: at most about {duration(seconds)} (training steps were timed)."
    )
    echo_result(as_json, value, "\n".join([text, *(f"note: {note}" for note in notes)]))
