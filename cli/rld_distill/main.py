"""The command group; subcommands are imported when they run, so that ``--help`` is instant."""

from __future__ import annotations

import errno
import importlib
import sys
from typing import Any

import rich_click as click

__all__ = ["cli", "entry_point"]

COMMANDS = {
    "collect": "collect",
    "import": "import_data",
    "distill": "distill",
    "evaluate": "evaluate",
    "sweep": "sweep",
    "report": "report",
    "gallery": "gallery",
    "play": "play",
    "datasets": "datasets",
    "train-expert": "train_expert",
    "quickstart": "quickstart",
}
"""The module of each command."""

EPILOG = """
Examples:

  rld-distill collect starpilot --episodes 100 --out data/starpilot.h5

  rld-distill distill data/starpilot.h5 --samples 150 --out data/starpilot-150.h5

  rld-distill evaluate data/starpilot.h5 data/starpilot-150.h5 --out results/starpilot

  rld-distill report results/starpilot --format md
"""


class LazyGroup(click.RichGroup):
    """Imports a command's module when it is named and turns expected errors into one line on stderr."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"rld_distill.commands.{COMMANDS[cmd_name]}")
        command: click.Command = module.command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise click.ClickException(_explain(error)) from error
        except Exception as error:
            if not isinstance(error, _expected_errors()):
                raise
            raise click.ClickException(str(error)) from error

    def main(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
        except click.ClickException as error:
            hint = ""
            if isinstance(error, click.UsageError) and error.ctx is not None:
                hint = f" Type '{error.ctx.command_path} --help' for the options."
            click.echo(f"Error: {' '.join(error.format_message().split())}{hint}", err=True)
            sys.exit(error.exit_code)
        except click.Abort:
            click.echo("Interrupted: run the same command again to go on.", err=True)
            sys.exit(1)
        sys.exit(code if isinstance(code, int) else 0)


def _expected_errors() -> tuple[type[Exception], ...]:
    """The packages' own errors; only those already imported, so that ``--help`` loads no torch."""
    bases = {"d3rlpy_distill.errors": "DistillError", "procgen_datasets.errors": "DatasetError"}
    return tuple(getattr(sys.modules[m], name) for m, name in bases.items() if m in sys.modules)


def _explain(error: OSError) -> str:
    text = " ".join(str(error).split())
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if error.errno in full or any(f"errno = {number}," in text for number in full):
        return "no space left for the output; nothing of it was kept: free some space and run the command again."
    return text


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="d3rlpy-distill", prog_name="rld-distill")
def cli() -> None:
    """Dataset distillation for offline RL: collect, distill, evaluate."""
    import gym_notices.notices
    import structlog

    gym_notices.notices.notices.clear()  # d3rlpy and procgen import gym, which prints an advertisement
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # d3rlpy logs every load


def entry_point() -> None:
    """Entry point of the ``rld-distill`` script."""
    cli(prog_name="rld-distill")
