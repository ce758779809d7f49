"""``rld-distill export``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from ..options import (
    ConfigCommand,
    dry_run_option,
    echo_result,
    json_option,
    overwrite_option,
    plugin_option,
)
from ..transfer import echo_transfer

D3RLPY_EPILOG = """
Examples:

  rld-distill export d3rlpy results/CartPole-v1/students/distilled-10/0.safetensors --out student.d3

  rld-distill export d3rlpy results/CartPole-v1/students/distilled-10/0.safetensors --overwrite
"""

MINARI_EPILOG = """
Examples:

  rld-distill export minari data/cartpole.h5 --id me/cartpole-v0

  rld-distill export minari data/cartpole-50.h5 --id me/cartpole-50-v0 --root data/minari
"""


@click.group("export")
def command() -> None:
    """Turn what we make into other projects' files."""


@command.command("d3rlpy", cls=ConfigCommand, epilog=D3RLPY_EPILOG)
@click.argument("student", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Model to make.  [default: STUDENT.d3]"
)
@overwrite_option
@plugin_option
@json_option
@dry_run_option
def d3rlpy_command(student: Path, out: Path | None, overwrite: bool, as_json: bool, dry_run: bool) -> None:
    """Write STUDENT, a .safetensors that 'evaluate' kept, as a model of d3rlpy's.

    d3rlpy.load_learnable reads it, and so do 'd3rlpy play', 'd3rlpy record' and 'd3rlpy export'. A .d3 file is a
    pickle: give it only to who trusts you, and give others the .safetensors.
    """
    from d3rlpy.algos import TransformerAlgoBase

    from d3rlpy_distill.exchange import check_export_d3rlpy, export_d3rlpy

    if dry_run:
        echo_transfer(as_json, "export", check_export_d3rlpy(student, out, overwrite=overwrite))
        return
    path = student.with_suffix(".d3") if out is None else out
    kept = export_d3rlpy(student, path, overwrite=overwrite)
    result = {
        "path": str(path),
        "algorithm": type(kept.learner).__name__,
        "observation_shape": list(kept.shape),
        "action_size": kept.action_size,
        "target_return": kept.target_return,
        "bytes": path.stat().st_size,
    }
    asked = f" --target-return {kept.target_return:g}" if isinstance(kept.learner, TransformerAlgoBase) else ""
    text = (
        f"{path}: {type(kept.learner).__name__}, observations {kept.shape}, {kept.action_size} "
        f"{'actions' if hasattr(kept.policy, 'logits') else 'dimensions of actions'}; "
        f"next: d3rlpy play {path} --env-id ID --use-gymnasium{asked}"
    )
    echo_result(as_json, result, text)


@command.command("minari", cls=ConfigCommand, epilog=MINARI_EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--id", "dataset_id", metavar="ID", help="What Minari calls it.  [default: FILE's name and -v0]")
@click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of datasets.  [default: Minari's own]",
)
@overwrite_option
@plugin_option
@json_option
@dry_run_option
def minari_command(
    file: Path, dataset_id: str | None, root: Path | None, overwrite: bool, as_json: bool, dry_run: bool
) -> None:
    """Write FILE, a dataset of ours or d3rlpy's, as one of Minari's; needs the extra minari.

    Minari writes it, and what it reads back is compared before the dataset appears. Seeds, terminations, truncations
    and spaces are kept; no environment is made.
    """
    from d3rlpy_distill.exchange import check_export_minari, export_minari

    if dry_run:
        echo_transfer(as_json, "export", check_export_minari(file, dataset_id, root=root, overwrite=overwrite))
        return
    made = export_minari(file, dataset_id, root=root, overwrite=overwrite)
    notes = [
        *(["frames as JPEG, which Minari makes of such spaces"] if made.jpeg else []),
        *(["last observations repeated, since the file has none"] if made.repeated else []),
    ]
    result = {
        "id": made.dataset_id,
        "path": str(made.path),
        "episodes": made.episodes,
        "steps": made.steps,
        "jpeg": made.jpeg,
        "last_observations_repeated": made.repeated,
    }
    text = f"{made.path}: {made.episodes} episodes, {made.steps} steps" + "".join(f"; {note}" for note in notes)
    echo_result(as_json, result, text)
