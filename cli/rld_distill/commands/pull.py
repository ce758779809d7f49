"""``rld-distill pull``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from ..options import ConfigCommand, dry_run_option, echo_result, json_option, overwrite_option
from ..transfer import echo_transfer

EPILOG = """
Examples:

  rld-distill pull me/starpilot-150

  rld-distill pull me/starpilot-150 --file starpilot-150.h5 --revision main --out data/starpilot-150.h5
"""


@click.command("pull", cls=ConfigCommand, epilog=EPILOG)
@click.argument("repo", metavar="OWNER/NAME")
@click.option("--file", help="Which dataset, where the repository has several.")
@click.option("--revision", help="Branch, tag or commit.  [default: main]")
@click.option("--sha256", metavar="HEX", help="Hash that the file must have, as its card says it.")
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to make, its card beside it.  [default: data/FILE]",
)
@click.option("--endpoint", metavar="URL", help="Another server.  [default: HF_ENDPOINT, or Hugging Face]")
@overwrite_option
@json_option
@dry_run_option
def command(
    repo: str,
    file: str | None,
    revision: str | None,
    sha256: str | None,
    out: Path | None,
    endpoint: str | None,
    overwrite: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Get a dataset that 'push' put into a Hugging Face dataset repository, with its card.

    It is verified before it gets its name: its seal, its hash, every episode and label. Nothing of it is run. Needs the
    extra hub.
    """
    from d3rlpy_distill.exchange import check_pull, pull_from_hub

    if dry_run:
        would = check_pull(
            repo, out, file=file, revision=revision, sha256=sha256, overwrite=overwrite, endpoint=endpoint
        )
        echo_transfer(as_json, "pull", would)
        return
    got = pull_from_hub(
        repo, out, file=file, revision=revision, sha256=sha256, overwrite=overwrite, endpoint=endpoint
    )
    result = {
        "path": str(got.path),
        "card": None if got.card is None else str(got.card),
        "repo": got.repo,
        "revision": got.revision,
        "sha256": got.sha256,
        "episodes": got.info.num_episodes,
        "content_sha256": got.info.content_sha256,
    }
    text = (
        f"{got.path}: {got.info.num_episodes} episodes, verified, of {got.repo} at {got.revision[:12]}, SHA-256 "
        f"{got.sha256}" + (f"; its card is {got.card}" if got.card else "")
    )
    echo_result(as_json, result, text)
