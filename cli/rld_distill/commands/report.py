"""``rld-distill report``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

EPILOG = """
Examples:

  rld-distill report results/starpilot --format md

  rld-distill report benchmarks/results/starpilot.json --format latex --figures figures

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
    help="Also draw figures 3 and 4 into this directory.",
)
def command(results: tuple[Path, ...], how: str, figures: Path | None) -> None:
    """Render the tables of RESULTS, directories or files of 'evaluate', or 'sweep.json' files of 'sweep'."""
    from d3rlpy_distill.report import build_tables, read_report, render, save_figures
    from d3rlpy_distill.report.sweep import save_size_curve, sweep_tables

    reports = [read_report(path) for path in results]
    evaluations = [report for report in reports if not isinstance(report, list)]
    cells = [cell for report in reports if isinstance(report, list) for cell in report]
    if figures is not None:
        drawn = save_figures(evaluations, figures) if evaluations else []
        if cells:
            drawn.append(save_size_curve(cells, figures / "size-curve.png"))
        for path in drawn:
            click.echo(f"drew {path}", err=True)
    tables = [table for evaluation in evaluations for table in build_tables(evaluation)]
    click.echo(render([*tables, *(sweep_tables(cells) if cells else [])], how))
