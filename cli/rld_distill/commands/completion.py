"""``rld-distill completion``."""

from __future__ import annotations

import rich_click as click
from click.shell_completion import get_completion_class

from ..options import Command

SHELLS = ("bash", "zsh", "fish")
PROGRAM = "rld-distill"

EPILOG = """
Examples:

  eval "$(rld-distill completion bash)"

  rld-distill completion fish > ~/.config/fish/completions/rld-distill.fish
"""


@click.command("completion", cls=Command, epilog=EPILOG)
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print what makes SHELL complete commands, options, and the names of tasks, methods, students and datasets.

    Put the line of your shell into its start file: ~/.bashrc (bash 4.4 or later), ~/.zshrc, or write the file of fish.
    """
    from ..group import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, PROGRAM, "_RLD_DISTILL_COMPLETE").source())
