"""The command group; subcommands are imported when they run, so that ``--help`` is instant."""

from __future__ import annotations

import difflib
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
    "list": "list",
    "datasets": "datasets",
    "train-expert": "train_expert",
    "quickstart": "quickstart",
}
"""The module of each command."""

INTERRUPTED = 130  # as shells report a program that Ctrl-C ended

EPILOG = """
Examples:

  rld-distill collect starpilot --episodes 100 --out data/starpilot.h5

  rld-distill distill data/starpilot.h5 --samples 150 --out data/starpilot-150.h5

  rld-distill evaluate data/starpilot.h5 data/starpilot-150.h5 --out results/starpilot

  rld-distill report results/starpilot --format md

  rld-distill list methods
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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            nearest = difflib.get_close_matches(args[0], COMMANDS, n=1)
            if not nearest:
                raise
            raise click.UsageError(f"No such command {args[0]!r}: did you mean {nearest[0]!r}?", ctx) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise click.Abort from error
        except BrokenPipeError:
            raise
        except OSError as error:
            raise click.ClickException(_explain(error)) from error
        except Exception as error:
            translated = self._translate(ctx, error)
            if translated is None:
                raise
            raise translated from error

    def _translate(self, ctx: click.Context, error: Exception) -> click.ClickException | None:
        """Returns the library's own error as click's; None for any other. Only what is imported can be raised."""
        errors = sys.modules.get("d3rlpy_distill.errors")
        if errors is None or not isinstance(error, errors.DistillError):
            return None
        if isinstance(error, errors.UnknownNameError):  # says what to type itself
            return click.UsageError(str(error))
        if isinstance(error, errors.SettingsError):
            name = ctx.invoked_subcommand or ""
            command = self.get_command(ctx, name)
            return click.UsageError(
                str(error), None if command is None else click.Context(command, parent=ctx, info_name=name)
            )
        return click.ClickException(str(error))

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
            sys.exit(INTERRUPTED)
        sys.exit(code if isinstance(code, int) else 0)


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
    import structlog

    try:
        import gym_notices.notices
    except ModuleNotFoundError:  # where there is no Procgen, there is no gym
        pass
    else:
        gym_notices.notices.notices.clear()  # procgen imports gym, which prints an advertisement
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # d3rlpy logs every load


def entry_point() -> None:
    """Entry point of the ``rld-distill`` script."""
    cli(prog_name="rld-distill")
