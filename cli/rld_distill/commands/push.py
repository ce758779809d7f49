"""``rld-distill push``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from ..complete import Known
from ..options import ConfigCommand, echo_result, json_option, overwrite_option, plugin_option

EPILOG = """
Examples:

  rld-distill push data/starpilot-150.h5 me/starpilot-150 --license mit

  rld-distill push starpilot-soft-150 me/starpilot-soft-150 --private
"""


@click.command("push", cls=ConfigCommand, epilog=EPILOG)
@click.argument("dataset", type=Known("datasets", files=True))
@click.argument("repo", metavar="OWNER/NAME")
@click.option(
    "--card",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Markdown file to be the card.  [default: one is written]",
)
@click.option("--license", "licence", metavar="ID", help="For a new card, such as mit or cc-by-4.0.")
@click.option("--private", is_flag=True, help="Make a new repository private.")
@click.option("--revision", help="Branch to push to.  [default: main]")
@click.option("--message", help="Of the commit.  [default: Add FILE]")
@click.option("--endpoint", metavar="URL", help="Another server.  [default: HF_ENDPOINT, or Hugging Face]")
@overwrite_option
@plugin_option
@json_option
@click.option(
    "-n", "--dry-run", is_flag=True, help="Print the card that would be written, send nothing, and stop."
)
def command(
    dataset: str,
    repo: str,
    card: Path | None,
    licence: str | None,
    private: bool,
    revision: str | None,
    message: str | None,
    endpoint: str | None,
    overwrite: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Put DATASET, a file of ours or a name, into a Hugging Face dataset repository, with its card.

    Needs the extra hub, and 'hf auth login' or HF_TOKEN. The repository is made unless it is there, and is public
    unless --private is given.
    """
    from d3rlpy_distill.exchange import preview_card, push_to_hub

    if dry_run:
        written = (
            preview_card(dataset, repo, licence=licence) if card is None else card.read_text(encoding="utf-8")
        )
        echo_result(as_json, {"would": "push", "dataset": dataset, "repo": repo, "card": written}, written)
        return
    made = push_to_hub(
        dataset,
        repo,
        card=None if card is None else card.read_text(encoding="utf-8"),
        licence=licence,
        private=private,
        revision=revision,
        message=message,
        overwrite=overwrite,
        endpoint=endpoint,
    )
    result = {
        "repo": made.repo,
        "file": made.file,
        "revision": made.revision,
        "url": made.url,
        "sha256": made.sha256,
        "changed": made.changed,
    }
    done = "pushed" if made.changed else "was there already, unchanged"
    text = f"{made.url}: {made.file} {done}, SHA-256 {made.sha256}; next: rld-distill pull {made.repo}"
    echo_result(as_json, result, text)
