"""``rld-distill quickstart``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from ..options import Command, dry_run_option, seed_option
from ..speech import say
from ..tables import show_tables


@click.command("quickstart", cls=Command)
@click.option(
    "-o",
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("quickstart"),
    show_default=True,
    help="Directory for everything it makes.",
)
@seed_option
@dry_run_option
def command(out: Path, seed: int, dry_run: bool) -> None:
    """Show on starpilot what 150 distilled samples are worth: a table, a plot and a film, in minutes on 2 cores.

    Far smaller than the full protocol (2 students instead of 10, 20 episodes instead of 100), so its figures are a
    demonstration and no result. Interrupted, it goes on when it is run again.
    """
    from d3rlpy_distill.report import build_tables
    from procgen_datasets.quickstart import MEASURED, QuickstartConfig, check_quickstart, run_quickstart

    from ..progress import ProgressBar

    if dry_run:
        check_quickstart(out)
        click.echo(f"would collect, distil, train, play, draw and film in {out}: about {MEASURED}.")
        return
    stage = "quickstart"
    with ProgressBar(stage, 1) as bar:

        def begin(text: str) -> None:
            nonlocal stage
            stage = text.partition(" ")[0]  # 1/5, 2/5, ...
            if not bar.line(text):
                say(text)

        result = run_quickstart(
            QuickstartConfig(seed=seed),
            out,
            say=begin,
            progress=lambda what, done, total: bar.update(stage, done, total, what),
        )
    show_tables(build_tables(result.results), kept=out / "results")
    click.echo(f"\ndrew {result.plot}, filmed {result.film}\n")
    click.echo(result.text)
