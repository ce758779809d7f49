"""``rld-distill gallery``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

EPILOG = """
Example:

  rld-distill gallery data/starpilot-150.h5 --out starpilot-150.png
"""


@click.command("gallery", epilog=EPILOG)
@click.argument("synthetic", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="PNG to draw.  [default: SYNTHETIC.png]"
)
@click.option("--frames", type=click.IntRange(1), default=30, show_default=True, help="At most so many samples.")
def command(synthetic: Path, out: Path | None, frames: int) -> None:
    """Draw the frames of SYNTHETIC beside the real ones they started from, and the change."""
    draw_gallery(synthetic, out or synthetic.with_suffix(".png"), frames)


def draw_gallery(synthetic: Path, out: Path, frames: int) -> None:
    """Draws the gallery of a distilled file and says where it is."""
    from d3rlpy_distill import TransitionArrays
    from d3rlpy_distill.report import save_gallery
    from procgen_datasets import load_dataset
    from procgen_datasets.hdf5 import read_extras

    buffer, _ = load_dataset(synthetic)
    extras = read_extras(synthetic, "initial")
    if "observations" not in extras:
        raise click.ClickException(
            f"{synthetic} does not record the frames it started from: expected a file of 'rld-distill distill'."
        )
    data = TransitionArrays.from_buffer(buffer)
    save_gallery(data.observations, extras["observations"], data.actions, out, max_samples=frames)
    click.echo(f"drew {out}")
