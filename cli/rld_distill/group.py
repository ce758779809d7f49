"""The command group; subcommands are imported when they run, so that ``--help`` is instant."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import sys
import traceback
import warnings
from typing import Any, TextIO

import rich_click as click
from click.exceptions import Exit

from .address_space import too_little_address_space
from .failures import explain, is_out_of_memory
from .interrupted import Interrupted
from .speech import say, speech_options
from .standard import StandardOutputError
from .status import INTERRUPTED, AtOnce

__all__ = ["cli"]

COMMANDS = {
    "collect": "collect",
    "import": "import_data",
    "export": "export_data",
    "push": "push",
    "pull": "pull",
    "distill": "distill",
    "evaluate": "evaluate",
    "sweep": "sweep",
    "report": "report",
    "gallery": "gallery",
    "play": "play",
    "list": "list",
    "presets": "presets",
    "datasets": "datasets",
    "train-expert": "train_expert",
    "quickstart": "quickstart",
    "completion": "completion",
}
"""The module of each command."""

RESUMING = frozenset(("distill", "evaluate", "sweep", "quickstart"))
"""Commands that go on where they were interrupted when they are run again."""

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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += speech_options()  # before the name of a command, too

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        _silence_gym()  # here, for help and completion run no command
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
        except (click.ClickException, Exit, click.Abort):
            raise
        except KeyboardInterrupt as error:
            if ctx.invoked_subcommand in RESUMING:
                raise click.Abort from error
            raise Interrupted("nothing of it was kept; run the same command again to begin anew") from error
        except Exception as error:
            if ctx.params["debug"]:
                traceback.print_exc()
            raise self._translate(ctx, error) from error

    def _translate(self, ctx: click.Context, error: Exception) -> click.ClickException:
        """Returns any error as click's, which is one line. Only what is imported can be raised."""
        errors = sys.modules.get("d3rlpy_distill.errors")
        if errors is None or not isinstance(error, errors.DistillError):
            return click.ClickException(explain(error))
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
            if error.__cause__ is not None and is_out_of_memory(error.__cause__):
                raise AtOnce(error.exit_code) from None
            sys.exit(error.exit_code)
        except click.Abort as error:
            advice = error.advice if isinstance(error, Interrupted) else "run the same command again to go on"
            click.echo(f"Interrupted: {advice}.", err=True)
            sys.exit(INTERRUPTED)
        except StandardOutputError as error:  # of --help and --version
            click.echo(f"Error: {explain(error)}", err=True)
            sys.exit(1)
        sys.exit(code if isinstance(code, int) else 0)


def _silence_gym() -> None:
    """Procgen imports gym, which prints an advertisement."""
    with contextlib.suppress(ModuleNotFoundError):  # where there is no Procgen, there is no gym
        import gym_notices.notices

        gym_notices.notices.notices.clear()


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """One line for a warning, whose place in the code says nothing to whoever types commands."""
    say(f"Warning: {' '.join(str(message).split())}")


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Before the name of a command: also show where an error comes from.")
@click.version_option(package_name="d3rlpy-distill", prog_name="rld-distill")
def cli(debug: bool) -> None:
    """Dataset distillation for offline RL: collect, distill, evaluate."""
    if (said := too_little_address_space()) is not None:
        raise click.ClickException(said)
    import structlog

    warnings.showwarning = _show_warning
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # d3rlpy logs every load
