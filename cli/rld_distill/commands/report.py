"""``rld-distill report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from ..options import Command, dry_run_option, overwrite_option, plugin_option
from ..speech import say
from ..tables import show_tables

if TYPE_CHECKING:
    from d3rlpy_distill.report import Report

FORMATS = ("auto", "md", "latex", "csv", "json", "html")
SUFFIXES = {".md": "md", ".tex": "latex", ".csv": "csv", ".json": "json", ".html": "html"}

EPILOG = """
Examples:

  rld-distill report results/starpilot

  rld-distill report results/starpilot --out starpilot.html --film play.gif

  rld-distill report benchmarks/results/starpilot.json --format latex --figures figures

  rld-distill report results/starpilot results/bigfish --compare distilled-150

  rld-distill report sweep --out sweep.csv

  rld-distill report results/starpilot --plugin examples/add_a_format.py --format rst
"""
FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("report", cls=Command, epilog=EPILOG)
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "how",
    metavar=f"[{'|'.join(FORMATS)}|...]",
    default="auto",
    show_default=True,
    help="Or a plug-in's. auto is what the name of --out ends in; without --out, tables that fit the terminal, "
    "Markdown in a pipe.",
)
@click.option("-o", "--out", type=FILE, help="File to write instead of standard output.")
@click.option("--wide", is_flag=True, help="In a terminal, show every column, however wide the tables become.")
@click.option("--compare", metavar="ARM", help="One table instead: this arm over the tasks, with its baselines.")
@click.option(
    "--paper", is_flag=True, help="Add the figures that arXiv 2407.20299 prints, to results of its student."
)
@click.option(
    "--figures",
    type=click.Path(file_okay=False, path_type=Path),
    help="Also draw every arm's return into this directory.",
)
@click.option(
    "--distilled",
    multiple=True,
    type=FILE,
    help="html: distilled file whose frames to show; found by itself where its command left it; repeatable.",
)
@click.option(
    "--film",
    "films",
    multiple=True,
    type=FILE,
    help="html: GIF of 'rld-distill play'; found by itself in RESULTS; repeatable.",
)
@click.option(
    "--training",
    multiple=True,
    type=FILE,
    help="html: curve.csv of 'rld-distill train-expert'; found by itself in RESULTS; repeatable.",
)
@overwrite_option
@plugin_option
@dry_run_option
def command(
    results: tuple[Path, ...],
    how: str,
    out: Path | None,
    wide: bool,
    compare: str | None,
    paper: bool,
    figures: Path | None,
    distilled: tuple[Path, ...],
    films: tuple[Path, ...],
    training: tuple[Path, ...],
    overwrite: bool,
    dry_run: bool,
) -> None:
    """Show the tables of RESULTS, directories or files of 'evaluate', or 'sweep.json' files of 'sweep'.

    csv and json have a row for each arm, split and mode, with numbers in full; html is one page with tables that sort,
    plots, frames, films, the commands and what they ran on.
    """
    chosen = _format(how, out, wide)
    if chosen != "html" and (distilled or films or training):
        raise click.UsageError("--distilled, --film and --training are for --format html.")
    from d3rlpy_distill.files import appears_atomically, check_output
    from d3rlpy_distill.report import (
        SIZE_CURVE,
        Report,
        find_distilled,
        find_films,
        find_training,
        read_report,
        save_figures,
        save_size_curve,
        write_report,
    )
    from d3rlpy_distill.report.paper import reproduces_paper

    if out is not None:
        check_output(out, overwrite=overwrite)
    reports = [read_report(path) for path in results]
    evaluations = [report for report in reports if not isinstance(report, list)]
    cells = [cell for report in reports if isinstance(report, list) for cell in report]
    if compare is not None and cells:
        raise click.UsageError("--compare with the cells of a sweep: give results of 'rld-distill evaluate'.")
    if paper and not any(map(reproduces_paper, evaluations)):
        raise click.UsageError(
            "--paper without results of its student: give those of 'paper' on one of its games."
        )
    report = Report(evaluations, cells, compared=compare, paper=paper)
    if chosen == "html":
        report = Report(
            evaluations,
            cells,
            compare,
            paper,
            find_distilled(evaluations, distilled),
            find_films(results, films),
            find_training(results, training),
        )
    if dry_run:
        _echo_plan(report, chosen, out, figures, overwrite)
        return
    if figures is not None:
        drawn = save_figures(evaluations, figures, overwrite=overwrite) if evaluations else []
        if cells:
            drawn.append(save_size_curve(cells, figures / SIZE_CURVE, overwrite=overwrite))
        for path in drawn:
            say(f"drew {path}")
    if out is not None:
        text = write_report(report, chosen)
        with appears_atomically(out, overwrite=overwrite) as partial:
            partial.write_text(f"{text}\n", encoding="utf-8")
        say(f"wrote {out}")
    elif chosen == "auto":
        show_tables(report.tables, wide=wide)
    else:
        click.echo(write_report(report, chosen))


def _format(how: str, out: Path | None, wide: bool) -> str:
    """The format that is meant; "auto" is what suits standard output."""
    if wide and (out is not None or how != "auto"):
        raise click.UsageError("--wide is for tables in a terminal: leave out --out and --format, or --wide.")
    if how in FORMATS and (out is None or how != "auto"):
        return how
    from d3rlpy_distill.catalogue import FORMATS as KNOWN

    if how != "auto":
        return KNOWN.entry(how).name
    assert out is not None
    if out.suffix in SUFFIXES:
        return SUFFIXES[out.suffix]
    if KNOWN.find(out.suffix[1:]) is None:
        raise click.UsageError(f"--out {out}: expected a name that ends in {', '.join(SUFFIXES)}, or --format.")
    return out.suffix[1:]


def _echo_plan(report: Report, how: str, out: Path | None, figures: Path | None, overwrite: bool) -> None:
    """Says what would be written, having read all that it would be made of."""
    from d3rlpy_distill.files import check_output
    from d3rlpy_distill.report import figure_paths

    drawn = [] if figures is None else figure_paths(report, figures)
    for path in drawn:
        check_output(path, overwrite=overwrite)
    pictures = "".join(f", and draw {path}" for path in drawn)
    where = "standard output" if out is None else str(out)
    click.echo(f"would write {len(report.tables)} tables as {how} to {where}{pictures}: a few seconds.")
