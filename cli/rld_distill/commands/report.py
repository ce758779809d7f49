"""``rld-distill report``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from ..options import overwrite_option

EPILOG = """
Examples:

  rld-distill report results/starpilot --format md

  rld-distill report benchmarks/results/starpilot.json --format latex --figures figures

  rld-distill report results/starpilot results/bigfish --compare distilled-150

  rld-distill report sweep/sweep.json --figures figures
"""


@click.command("report", epilog=EPILOG)
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "how",
    type=click.Choice(["md", "latex", "csv", "json"]),
    default="md",
    show_default=True,
    help="How to write the tables.",
)
@click.option(
    "--figures",
    type=click.Path(file_okay=False, path_type=Path),
    help="Also draw every arm's return into this directory.",
)
@overwrite_option
@click.option("--compare", metavar="ARM", help="One table instead: this arm over the tasks, with its baselines.")
def command(
    results: tuple[Path, ...], how: str, figures: Path | None, overwrite: bool, compare: str | None
) -> None:
    """Render the tables of RESULTS, directories or files of 'evaluate', or 'sweep.json' files of 'sweep'."""
    from d3rlpy_distill.report import (
        build_tables,
        games_table,
        read_report,
        render,
        save_figures,
        save_size_curve,
        sweep_tables,
    )

    reports = [read_report(path) for path in results]
    evaluations = [report for report in reports if not isinstance(report, list)]
    cells = [cell for report in reports if isinstance(report, list) for cell in report]
    if figures is not None:
        drawn = save_figures(evaluations, figures, overwrite=overwrite) if evaluations else []
        if cells:
            drawn.append(save_size_curve(cells, figures / "size-curve.png", overwrite=overwrite))
        for path in drawn:
            click.echo(f"drew {path}", err=True)
    if compare is not None:
        if len(evaluations) < len(reports):
            raise click.UsageError("--compare with the cells of a sweep: give results of 'rld-distill evaluate'.")
        tables = [games_table(evaluations, compare)]
    else:
        tables = [table for evaluation in evaluations for table in build_tables(evaluation)]
        tables += sweep_tables(cells) if cells else []
    click.echo(render(tables, how))
