"""Options that every command shares: configuration files, plug-ins, seeds, devices, JSON output."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click
from click.shell_completion import CompletionItem

from .complete import complete
from .speech import say, speech_options

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "Command",
    "ConfigCommand",
    "Names",
    "Numbers",
    "check_device",
    "command_line",
    "device_option",
    "dry_run_option",
    "echo_nothing_to_do",
    "echo_result",
    "json_option",
    "overwrite_option",
    "plugin_option",
    "read_config",
    "seed_option",
    "trust_option",
    "warn",
]

F = TypeVar("F", bound=Callable[..., Any])

MAX_CONFIG = 1 << 20  # bytes
PRINT, PLUGINS = "rld_distill.print_config", "rld_distill.plugins"


class Names(click.ParamType):  # type: ignore[type-arg]
    """A list of names, comma-separated on the command line.

    Args:
        choices: What may be named; None takes anything.
        known: What shells complete, see :func:`~.complete.known_names`; None completes nothing.
    """

    name = "names"

    def __init__(self, choices: Sequence[str] | None = None, *, known: str | None = None) -> None:
        self._choices, self._known = choices, known

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [] if self._known is None else complete(self._known, incomplete)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        parts = value.split(",") if isinstance(value, str) else value  # a default, or a list of a TOML file
        names = [str(part).strip() for part in parts]
        for name in names:
            if not name or (self._choices is not None and name not in self._choices):
                expected = f"some of {','.join(self._choices)}" if self._choices else "names between the commas"
                self.fail(f"{name!r}: expected {expected}.", param, ctx)
        if len(set(names)) < len(names):
            self.fail(f"{','.join(names)}: names one twice.", param, ctx)
        return names


class Numbers(click.ParamType):  # type: ignore[type-arg]
    """A list of whole numbers of 1 or more, comma-separated on the command line."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        parts = value.split(",") if isinstance(value, str) else value  # a list of a TOML file
        try:
            numbers = [int(str(part)) for part in parts]
        except (TypeError, ValueError):
            numbers = [0]
        if min(numbers, default=0) < 1:
            self.fail(
                f"{value!r}: expected numbers of 1 or more with commas between, for example 150,600.", param, ctx
            )
        return numbers


def read_config(path: Path) -> dict[str, Any]:
    """Returns the options of a TOML file, with underscores in the place of hyphens.

    Raises:
        click.BadParameter: If it is no ordinary file, too long, or no TOML.
    """
    try:
        if not path.is_file():  # a device or a pipe may never end
            raise click.BadParameter(f"{path} is no ordinary file: expected one of TOML.", param_hint="--config")
        with path.open("rb") as file:
            text = file.read(MAX_CONFIG + 1)
        if len(text) > MAX_CONFIG:
            raise click.BadParameter(
                f"{path} has more than {MAX_CONFIG} bytes: expected a few options.", param_hint="--config"
            )
        table = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise click.BadParameter(f"{path} is not valid TOML: {error}", param_hint="--config") from error
    return {key.replace("-", "_"): value for key, value in table.items()}


def _load_config(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
    if value is None:
        return
    options = [p for p in ctx.command.get_params(ctx) if isinstance(p, click.Option) and _is_setting(p)]
    known = {str(p.name): str(p.name) for p in options}
    spelled = {opt.lstrip("-").replace("-", "_"): str(p.name) for p in options for opt in p.opts}
    given = {}
    for key, item in read_config(value).items():
        name = known.get(key) or spelled.get(key)  # a file may use any of an option's names
        if name is None:
            raise click.BadParameter(
                f"{value} sets {key!r}: expected one of {', '.join(sorted(known))}.", ctx, param
            )
        wanted = _wanted(next(one for one in options if one.name == name))
        if not wanted[0](item):
            raise click.BadParameter(f"{value} sets {key} = {item!r}: expected {wanted[1]}.", ctx, param)
        given[name] = item
    ctx.default_map = given


def _wanted(option: click.Option) -> tuple[Callable[[Any], bool], str]:
    """What a file may give an option: a check, and what it expects in words.

    The library would call a number that is given for a text the text itself, and 2.9 samples two.
    """
    if option.is_flag:
        return lambda item: isinstance(item, bool), "true or false"
    if option.multiple:
        return lambda item: isinstance(item, list) and all(isinstance(one, str) for one in item), "a list of texts"
    if isinstance(option.type, (Names, Numbers)):
        return lambda item: isinstance(item, (str, list)), "a list, or a text with commas"
    if isinstance(option.type, type(click.INT)):
        return lambda item: isinstance(item, (int, str)) and not isinstance(item, bool), "a whole number"
    if isinstance(option.type, type(click.FLOAT)):
        return lambda item: isinstance(item, (int, float, str)) and not isinstance(item, bool), "a number"
    return lambda item: isinstance(item, (int, float, str)) and not isinstance(item, bool), "a text or a number"


def _is_setting(param: click.Option) -> bool:
    return param.expose_value or param.name == "plugin"


def _ask_print(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    ctx.meta[PRINT] = value


class Command(click.RichCommand):
    """A command that can be told to say more, or less."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += speech_options()


class ConfigCommand(Command):
    """A command whose options can come from a TOML file and be printed as one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params[-2:-2] = [
            click.Option(
                ["--config"],
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                is_eager=True,
                expose_value=False,
                callback=_load_config,
                help="TOML file with options (long names); the command line goes first.",
            ),
            click.Option(
                ["--print-config"],
                is_flag=True,
                expose_value=False,
                callback=_ask_print,
                help="Print the options in force as TOML, and stop.",
            ),
        ]

    def invoke(self, ctx: click.Context) -> Any:
        if not ctx.meta.get(PRINT):
            return super().invoke(ctx)
        values = {**ctx.params, "plugin": ctx.meta.get(PLUGINS), **self.in_force(ctx)}
        for param in self.get_params(ctx):
            value = values.get(str(param.name))
            if isinstance(param, click.Option) and value not in (None, ()):
                click.echo(f"{param.name} = {_toml(value)}")
        return None

    def in_force(self, ctx: click.Context) -> dict[str, Any]:
        """Returns values of options, by name, that follow from others: those of a preset, for example."""
        return {}


def _toml(value: Any) -> str:
    if isinstance(value, (bool, int, float)):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(str(value))


def _load_plugins(ctx: click.Context, param: click.Parameter, value: tuple[Path, ...]) -> None:
    ctx.meta[PLUGINS] = value
    if value:
        from d3rlpy_distill.registry import load_plugin

        for path in value:
            load_plugin(path)


def plugin_option(f: F) -> F:
    """Adds ``--plugin``, which is dealt with before any other option."""
    return click.option(
        "--plugin",
        multiple=True,
        type=click.Path(path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=_load_plugins,
        metavar="FILE",
        help="Python file that registers methods, students, tasks, datasets or formats; repeatable.",
    )(f)


def seed_option(f: F) -> F:
    """Adds ``--seed``."""
    option = click.option(
        "--seed",
        type=click.IntRange(0, 2**31 - 1),
        default=0,
        show_default=True,
        help="Fixes everything random.",
    )
    return option(f)


def device_option(f: F) -> F:
    """Adds ``--device``; the command has to call :func:`check_device`."""
    return click.option(
        "--device", default="cpu:0", show_default=True, help="torch device, for example cpu:0 or cuda:0."
    )(f)


def json_option(f: F) -> F:
    """Adds ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")(f)


def dry_run_option(f: F) -> F:
    """Adds ``--dry-run``."""
    return click.option(
        "-n",
        "--dry-run",
        is_flag=True,
        help="Say what would be done and about how long it takes, or why it cannot be; and stop.",
    )(f)


def overwrite_option(f: F) -> F:
    """Adds ``--overwrite``."""
    return click.option("--overwrite", is_flag=True, help="Replace files that are there.")(f)


def trust_option(f: F) -> F:
    """Adds ``--trust``."""
    return click.option(
        "--trust", is_flag=True, help="Load policy files that hold pickled code, which then runs: .zip, .d3, .pt."
    )(f)


def check_device(device: str) -> str:
    """Returns the device if torch can use it.

    Raises:
        click.BadParameter: If it is no device.
        click.ClickException: If this machine has no such device.
    """
    import torch

    try:
        parsed = torch.device(device)
    except RuntimeError as error:
        raise click.BadParameter(
            f"{device!r} is no torch device: expected for example cpu:0 or cuda:0.", param_hint="--device"
        ) from error
    if parsed.type not in ("cpu", "cuda"):
        raise click.BadParameter(f"{device!r}: expected cpu:0 or cuda:N.", param_hint="--device")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if parsed.type == "cuda" and (parsed.index or 0) >= count:
        raise click.ClickException(
            f"--device {device}: this machine has {count} GPUs that torch can use; type --device cpu:0."
        )
    return device


def command_line() -> str:
    """Returns the command line, to record it; the program's path is left out."""
    return shlex.join(["rld-distill", *sys.argv[1:]])


def echo_result(as_json: bool, value: dict[str, Any], text: str) -> None:
    """Prints the result on stdout: a JSON object or text."""
    click.echo(json.dumps(value) if as_json else text)


def echo_nothing_to_do(as_json: bool, command: str, path: Path) -> None:
    """Prints the dry run of a command that would find its own work."""
    plan = {"would": command, "path": str(path), "seconds": 0.0, "done": True}
    echo_result(as_json, plan, f"{path} is there already, made by these very settings: nothing would be done.")


def warn(text: str) -> None:
    """Says on stderr what is done otherwise than a user may think."""
    say(f"Warning: {text}")
