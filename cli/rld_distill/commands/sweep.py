"""``rld-distill sweep``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from click.core import ParameterSource

from ..complete import Known
from ..counted import Counted
from ..duration import duration
from ..executors import chosen_executor, executor_options, off_stdout
from ..failures import explain
from ..options import (
    ConfigCommand,
    Names,
    Numbers,
    dry_run_option,
    echo_result,
    json_option,
    plugin_option,
    trust_option,
    warn,
)
from ..played import budget, budget_options, in_force
from ..speech import say, say_next
from ..tables import show_tables

if TYPE_CHECKING:
    from d3rlpy_distill.estimates import UnitCost
    from d3rlpy_distill.sweeping import Cell

EPILOG = """
Examples:

  rld-distill sweep data/starpilot.h5 --sizes 15,50,150,500 --seeds 3 --out sweep

  rld-distill sweep data/starpilot.h5 --methods labels --small-steps 1000 --small-batch 64 --out sweep-soft

  rld-distill sweep data/starpilot.h5 --methods gradient,herding --splits id,validation --jobs 2

  rld-distill sweep study.toml --executor ray --address auto --out study
"""
OF_A_CELL = (
    *("methods", "sizes", "seeds", "preset", "steps", "student", "task", "splits", "students", "episodes"),
    *("full", "expert", "full_steps", "full_batch", "small_steps", "small_batch", "trust", "unseen_levels"),
)


class _SweepCommand(ConfigCommand):
    def in_force(self, ctx: click.Context) -> dict[str, Any]:
        """What the datasets' tasks and the methods give, where it is the same for all; a study says it itself."""
        values = ctx.params
        if (study := _study(ctx, values["datasets"])) is not None:
            warn(f"{study} says what the cells are: their options are left out.")
            return dict.fromkeys(OF_A_CELL)
        if absent := [one for one in values["datasets"] if not Path(one).exists()]:
            warn(f"{absent[0]} is no file: what its task gives is left out.")
            return {}
        asked = None if values["student"] is None else [values["student"]]
        splits = _splits(values["splits"], values["unseen_levels"])
        found = []
        for one in values["datasets"]:
            own = in_force(one, values, asked, splits)
            (own["student"],) = own["student"]
            found.append({**own, "steps": _steps(one, own, values)})
        return {name: given for name, given in found[0].items() if all(own[name] == given for own in found)}


@click.command("sweep", cls=_SweepCommand, epilog=EPILOG)
@click.argument("datasets", nargs=-1, required=True, type=Known("datasets", files=True))
@click.option(
    "--methods",
    default="gradient",
    show_default=True,
    type=Names(known="distillations"),
    help="Some of 'rld-distill list methods' and 'list coresets'.",
)
@click.option(
    "--sizes", default="15,50,150,500", show_default=True, type=Numbers(), metavar="SIZES", help="Samples."
)
@click.option(
    "--seeds", type=click.IntRange(1, 1000), default=1, show_default=True, help="Distillations of each: 0 to N-1."
)
@click.option(
    "-o",
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("sweep"),
    show_default=True,
    help="Directory for everything.",
)
@executor_options
@click.option(
    "--preset",
    default="default",
    show_default=True,
    help="Settings of the methods at once, see 'rld-distill presets METHOD'; each has to have it.",
)
@click.option(
    "--steps",
    type=click.IntRange(0),
    help="Steps of distillation, with soft labels of the teachers.  [default: the preset's]",
)
@click.option(
    "--student", type=Known("students"), help="One of 'rld-distill list students'.  [default: the task's]"
)
@click.option("--task", type=Known("tasks"), help="What is played.  [default: what each dataset was recorded on]")
@click.option("--splits", type=Names(), help="Sets of starts to play.  [default: the task's, such as id,ood]")
@click.option("--students", type=click.IntRange(1), default=10, show_default=True, help="Students an arm.")
@click.option("--episodes", type=click.IntRange(1), default=100, show_default=True, help="Episodes each.")
@budget_options
@click.option(
    "--full",
    is_flag=True,
    help="Also train on all data, once a dataset and seed: the cost table then has savings.",
)
@click.option("--expert", help="A policy's name or file.  [default: the one that played each dataset]")
@trust_option
@click.option(
    "--unseen-levels",
    type=click.Choice(["all", "validation"]),
    help="Now --splits: validation is id,validation.",
)
@plugin_option
@json_option
@dry_run_option
@click.pass_context
def command(
    ctx: click.Context,
    datasets: tuple[str, ...],
    methods: list[str],
    sizes: list[int],
    seeds: int,
    out: Path,
    executor: str,
    address: str | None,
    jobs: int | None,
    cores: int,
    preset: str,
    steps: int | None,
    student: str | None,
    task: str | None,
    splits: list[str] | None,
    students: int,
    episodes: int,
    full_steps: int | None,
    full_batch: int | None,
    small_steps: int | None,
    small_batch: int | None,
    full: bool,
    expert: str | None,
    trust: bool,
    unseen_levels: str | None,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Distil DATASETS with every method, size and seed, and evaluate each beside random samples.

    DATASETS are files, or names of 'rld-distill list datasets'; or one study, a .toml file that says what the axes are:
    datasets, methods, sizes, students and seeds. Run again into the same directory, an interrupted sweep
    goes on where it stopped. Writes OUT/sweep.json, which 'rld-distill report' renders, and draws OUT/size-curve.png.
    """
    from d3rlpy_distill.errors import SettingsError
    from d3rlpy_distill.estimates import sweep_units
    from d3rlpy_distill.evaluation import Protocol
    from d3rlpy_distill.files import check_output
    from d3rlpy_distill.report import SIZE_CURVE, Report, save_size_curve, sweep_tables, write_report
    from d3rlpy_distill.sweeping import SweepConfig, load_sweep, plan_sweep, read_study

    from ..progress import ProgressBar

    splits = _splits(splits, unseen_levels)
    config = SweepConfig(
        student=student,
        task=task,
        splits=None if splits is None else tuple(splits),
        preset=preset,
        steps=steps,
        protocol=Protocol(
            students=students,
            episodes=episodes,
            full=budget(full_steps, full_batch),
            small=budget(small_steps, small_batch),
        ),
        expert=expert,
        trust=trust,
    )
    if (study := _study(ctx, datasets)) is not None:
        plan = read_study(study).plan(out)
    else:
        plan = plan_sweep(datasets, methods, sizes, seeds, out, full=full, config=config)
    names = [cell.name for cell in plan.cells]
    picture = out / SIZE_CURVE
    # then the picture is that of the last time
    again = any(
        one.exists() for one in (out / "sweep.json", *(cell.evaluation / "results.json" for cell in plan.cells))
    )
    check_output(picture, overwrite=again)
    runs_on = chosen_executor(executor, address, jobs, cores)
    if dry_run:
        plan.check()
        plan.check_cells()
        _echo_plan(as_json, names, sweep_units(plan), out, cores)
        return
    count, untold = Counted(len(names)), list[str]()
    with off_stdout(), ProgressBar("sweeping", len(names)) as bar:

        def ended(cell: Cell, error: Exception | None) -> None:
            bar.advance()
            told = count.ended(f"{cell.name}: {'done' if error is None else f'failed: {_said(error)}'}")
            if not bar.line(told):
                untold.append(cell.name)

        results = plan.run(
            executor=runs_on,
            cores=cores,
            on_cell=ended,
            progress=lambda what, done, total: bar.say(what),
        )
    if results.cells:
        say(f"drew {save_size_curve(load_sweep(out / 'sweep.json'), picture, overwrite=again)}")
        if as_json:
            click.echo(write_report(Report(cells=results.cells), "json"))
        else:
            show_tables(sweep_tables(results.cells), kept=out)
    if results.failed:
        (name, error), *others = results.failed.items()
        for other, reason in others:  # the log of a batch job needs them, too
            if other in untold:
                warn(f"{other} failed: {_said(reason)}")
        # where nothing ran at all, the command line is what is wrong
        wrong = isinstance(error, SettingsError) and not results.cells
        raised = click.UsageError if wrong else click.ClickException
        raise raised(f"{len(results.failed)} of {len(names)} cells failed, the first {name}: {_said(error)}")
    say_next("report", out, "--out", f"{out.name}.html")


def _said(error: Exception) -> str:
    from d3rlpy_distill.errors import DistillError

    return str(error) if isinstance(error, DistillError) else explain(error)


def _splits(splits: list[str] | None, unseen_levels: str | None) -> list[str] | None:
    """The splits that are meant; version 0.1 had a choice for the second."""
    if unseen_levels is None:
        return splits
    if splits is not None:
        raise click.UsageError("--unseen-levels is now --splits: give one of the two.")
    found = ["id", "validation"] if unseen_levels == "validation" else None
    warn(f"--unseen-levels {unseen_levels} is now {'--splits id,validation' if found else 'the default'}.")
    return found


def _steps(dataset: str, own: Mapping[str, Any], values: Mapping[str, Any]) -> int | None:
    """The steps of distillation, where they are the same for every method that takes some."""
    from d3rlpy_distill.pipeline import load
    from d3rlpy_distill.sweeping import SweepConfig, plan_sweep

    config = SweepConfig(
        student=own["student"],
        task=own["task"],
        preset=values["preset"],
        steps=values["steps"],
        expert=values["expert"],
    )
    plan = plan_sweep([dataset], values["methods"], values["sizes"], 1, values["out"], config=config)
    data = load(dataset, task=values["task"])
    methods = [cell.configure(data) for cell in plan.cells if cell.taught_by is None]
    steps: set[int | None] = {one.steps for one in methods if hasattr(one, "steps")}
    asked: int | None = values["steps"]
    return steps.pop() if len(steps) == 1 else asked


def _study(ctx: click.Context, datasets: tuple[str, ...]) -> Path | None:
    """The study, if that is what was given."""
    found = [one for one in datasets if one.endswith(".toml")]
    if not found:
        return None
    if len(datasets) > 1:
        raise click.UsageError(f"{found[0]} is a study: give it alone, its datasets stand in it.")
    for name in OF_A_CELL:
        if ctx.get_parameter_source(name) not in (ParameterSource.DEFAULT, None):
            raise click.UsageError(f"--{name.replace('_', '-')} stands in the study {found[0]}: change it there.")
    return Path(found[0])


def _echo_plan(as_json: bool, names: Sequence[str], costs: Sequence[UnitCost], out: Path, cores: int) -> None:
    units, seconds = sum(cost.units for cost in costs), sum(cost.units * cost.seconds for cost in costs)
    value = {
        "would": "sweep",
        "out": str(out),
        "cells": list(names),
        "seconds": seconds,
        "units": [{**dataclasses.asdict(cost), "cores": cores} for cost in costs],
    }
    lines = [
        f"would run {len(names)} cells, {units} units of {cores} cores each, into {out}: at most about "
        f"{duration(seconds)} one after the other (first steps were timed)."
    ]
    for cell in names:
        own = [cost for cost in costs if cost.cell == cell]
        lines.append(f"{cell}: {duration(sum(cost.units * cost.seconds for cost in own))}")
        lines += [f"  {cost.units} x {cost.name}, {duration(cost.seconds)} each" for cost in own]
    echo_result(as_json, value, "\n".join(lines))
