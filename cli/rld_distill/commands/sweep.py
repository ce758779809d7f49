"""``rld-distill sweep``."""

from __future__ import annotations

import itertools
from pathlib import Path

import rich_click as click

from ..options import ConfigCommand, Names, dry_run_option, echo_result, json_option

EPILOG = """
Examples:

  rld-distill sweep data/starpilot.h5 --sizes 15,50,150,500 --seeds 3 --out sweep

  rld-distill sweep data/starpilot.h5 --methods labels --synthetic-steps 1000 --synthetic-batch 64 --out sweep-soft

  rld-distill sweep data/starpilot.h5 --methods gradient,unrolled --unseen-levels validation --jobs 2
"""
METHODS = ("gradient", "unrolled", "labels")


def _parse_sizes(ctx: click.Context, param: click.Parameter, value: str) -> list[int]:
    try:
        sizes = [int(size) for size in value.split(",")]
    except ValueError:
        sizes = [0]
    if min(sizes) < 1:
        raise click.BadParameter(f"{value!r}: expected numbers of samples, for example 15,50,150.", ctx, param)
    return sorted(set(sizes))


@click.command("sweep", cls=ConfigCommand, epilog=EPILOG)
@click.argument("datasets", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--methods",
    default="gradient",
    show_default=True,
    type=Names(METHODS),
    help="Some of gradient,unrolled,labels.",
)
@click.option("--sizes", default="15,50,150,500", show_default=True, callback=_parse_sizes, help="Samples.")
@click.option(
    "--seeds", type=click.IntRange(1), default=1, show_default=True, help="Distillations of each: 0 to N-1."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("sweep"),
    show_default=True,
    help="Directory for everything.",
)
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes at a time.")
@click.option("--steps", type=click.IntRange(0), help="Steps of distillation.  [default: the preset's]")
@click.option(
    "--synthetic-steps", type=click.IntRange(1), default=100, show_default=True, help="Steps on small sets."
)
@click.option(
    "--synthetic-batch", type=click.IntRange(1), default=15, show_default=True, help="Batch on small sets."
)
@click.option("--students", type=click.IntRange(1), default=10, show_default=True, help="Students an arm.")
@click.option("--episodes", type=click.IntRange(1), default=100, show_default=True, help="Episodes each.")
@click.option(
    "--full", is_flag=True, help="Also train bc-100, once a dataset and seed: the cost table then has savings."
)
@click.option(
    "--unseen-levels",
    type=click.Choice(["all", "validation"]),
    default="all",
    show_default=True,
    help="What 'ood' plays; to choose anything by the outcome, take validation.",
)
@json_option
@dry_run_option
def command(
    datasets: tuple[Path, ...],
    methods: list[str],
    sizes: list[int],
    seeds: int,
    out: Path,
    jobs: int,
    steps: int | None,
    synthetic_steps: int,
    synthetic_batch: int,
    students: int,
    episodes: int,
    full: bool,
    unseen_levels: str,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Distil DATASETS with every method, size and seed, and evaluate each beside random samples.

    Run again into the same directory, an interrupted sweep goes on where it stopped. Writes OUT/sweep.json, which
    'rld-distill report' renders, and draws OUT/size-curve.png.
    """
    from d3rlpy_distill.report.sweep_cell import method_arm

    from ..sweep_cells import Cell, run_cells

    stems = [dataset.stem for dataset in datasets]
    if len(set(stems)) < len(stems):
        raise click.UsageError(
            "two of the datasets have the same file name: rename one, the cells are named by it."
        )
    for dataset in datasets:
        if not dataset.is_file():
            raise click.ClickException(f"{dataset} does not exist: make it with 'rld-distill collect'.")
    distill = () if steps is None else ("--steps", str(steps))
    numbers = {
        "--students": students,
        "--episodes": episodes,
        "--synthetic-steps": synthetic_steps,
        "--synthetic-batch": synthetic_batch,
    }
    evaluate = (*(str(part) for pair in numbers.items() for part in pair), "--unseen-levels", unseen_levels)
    cells: list[Cell] = []
    for dataset, method, seed in itertools.product(datasets, methods, range(seeds)):
        first: Cell | None = None
        for size in sizes:
            # students of everything depend on neither method nor size
            once = full and (method, size) == (methods[0], sizes[0])
            arms = (*(["bc-100"] if once else []), f"random-{size}", method_arm(method, size))
            cells.append(Cell(dataset, method, size, seed, out, distill, evaluate, arms, first))
            if method == "labels":  # teachers do not depend on the size: one training serves all
                first = first or cells[-1]
    names = [cell.name for cell in cells]
    if dry_run:
        text = "\n".join([f"would run {len(cells)} cells, {jobs} at a time, into {out}:", *names])
        echo_result(as_json, {"would": "sweep", "out": str(out), "cells": names}, text)
        return
    from d3rlpy_distill.report import render
    from d3rlpy_distill.report.sweep import save_size_curve, sweep_tables
    from d3rlpy_distill.report.sweep_cell import save_sweep

    from ..progress import ProgressBar

    with ProgressBar("sweeping", len(cells)) as bar:
        finished, failed = run_cells(cells, jobs, lambda cell: bar.advance())
    if finished:
        save_sweep(finished, out / "sweep.json")
        save_size_curve(finished, out / "size-curve.png")
        click.echo(f"drew {out / 'size-curve.png'}", err=True)
        click.echo(render(sweep_tables(finished), "json" if as_json else "md"))
    if failed:
        name, message = next(iter(failed.items()))
        raise click.ClickException(f"{len(failed)} of {len(cells)} cells failed, the first {name}: {message}")
