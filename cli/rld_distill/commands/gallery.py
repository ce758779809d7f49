"""``rld-distill gallery``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from ..complete import Known
from ..options import Command, dry_run_option, echo_result, json_option, overwrite_option

SECONDS = 0.1  # a sample, about

EPILOG = """
Example:

  rld-distill gallery data/starpilot-150.h5 --out starpilot-150.png
"""


@click.command("gallery", cls=Command, epilog=EPILOG)
@click.argument("synthetic", type=Known("datasets", files=True))
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="PNG to draw.  [default: SYNTHETIC.png]"
)
@click.option("--frames", type=click.IntRange(1), default=30, show_default=True, help="At most so many samples.")
@overwrite_option
@json_option
@dry_run_option
def command(synthetic: str, out: Path | None, frames: int, overwrite: bool, as_json: bool, dry_run: bool) -> None:
    """Draw the frames of SYNTHETIC, beside the real ones they started from, or views of them, where there are such."""
    from d3rlpy_distill.files import check_output
    from d3rlpy_distill.pipeline import load_distilled
    from d3rlpy_distill.report import need_images, save_gallery

    path = out or Path(synthetic).with_suffix(".png")
    if path.suffix != ".png":
        raise click.UsageError(f"--out {path}: expected a name that ends in .png.")
    check_output(path, overwrite=overwrite)
    distilled = load_distilled(synthetic)
    need_images(distilled.samples.observations)
    shown = min(frames, len(distilled))
    if dry_run:
        plan = {"would": "gallery", "path": str(path), "samples": shown, "seconds": SECONDS * shown}
        echo_result(as_json, plan, f"would draw {shown} samples into {path}: a few seconds.")
        return
    save_gallery(distilled, path, max_samples=frames, overwrite=overwrite)
    echo_result(as_json, {"path": str(path), "samples": shown}, f"drew {path}")
