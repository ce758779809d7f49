"""``rld-distill report``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

EPILOG = """
Examples:

  rld-distill report results/starpilot --format md

  rld-distill report benchmarks/results/starpilot.json --format latex --figures figures
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
    """Render the tables of RESULTS, directories or files of 'evaluate'; one set of tables a game."""
    from d3rlpy_distill.evaluation import Results
    from d3rlpy_distill.report import build_tables, render, save_figures

    loaded = [Results.load(path) for path in results]
    if figures is not None:
        for path in save_figures(loaded, figures):
            click.echo(f"drew {path}", err=True)
    click.echo(render([table for result in loaded for table in build_tables(result)], how))
