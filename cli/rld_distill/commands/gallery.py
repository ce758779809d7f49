"""``rld-distill gallery``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from ..options import overwrite_option

EPILOG = """
Example:

  rld-distill gallery data/starpilot-150.h5 --out starpilot-150.png
"""


@click.command("gallery", epilog=EPILOG)
@click.argument("synthetic")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="PNG to draw.  [default: SYNTHETIC.png]"
)
@click.option("--frames", type=click.IntRange(1), default=30, show_default=True, help="At most so many samples.")
@overwrite_option
def command(synthetic: str, out: Path | None, frames: int, overwrite: bool) -> None:
    """Draw the frames of SYNTHETIC; where its method moved them, beside the real ones they started from."""
    from d3rlpy_distill.files import check_output
    from d3rlpy_distill.pipeline import load_distilled
    from d3rlpy_distill.report import save_gallery

    path = out or Path(synthetic).with_suffix(".png")
    check_output(path, overwrite=overwrite)
    distilled = load_distilled(synthetic)
    save_gallery(
        distilled.samples.observations,
        None if distilled.initial is None else distilled.initial.observations,
        distilled.samples.actions,
        path,
        max_samples=frames,
        overwrite=overwrite,
    )
    click.echo(f"drew {path}")
