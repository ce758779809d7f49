"""The reference of the command line, from the click commands themselves."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import click

from rld_distill.generated import GeneratedCommand, Given
from rld_distill.group import COMMANDS, cli
from rld_distill.methods import MethodCommand

__all__ = ["command_page", "commands", "plain"]

TASKS = ("procgen/starpilot", "gym/CartPole-v1")
"""Tasks whose own options are shown, one of each kind."""


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yields every public command with its full name, those of groups after their group."""
    for name in COMMANDS:
        command = importlib.import_module(f"rld_distill.commands.{COMMANDS[name]}").command
        if not command.hidden:
            yield from _tree(f"rld-distill {name}", command)


def _tree(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for child in sorted(command.commands):
            yield from _tree(f"{name} {child}", command.commands[child])


def plain(text: str, command: click.Command) -> str:
    """Returns help text without colours or rich's markup."""
    config = getattr(command, "rich_help_config", None) or {}
    mode = config.get("text_markup") if isinstance(config, dict) else getattr(config, "text_markup", None)
    if mode == "rich":
        from rich.text import Text

        text = Text.from_markup(text).plain
    return click.unstyle(inspect.cleandoc(text.replace("\b\n", "")))


def command_page() -> str:
    """Returns the whole page."""
    parts = [
        "# Command line",
        "This page is generated from the commands. `rld-distill COMMAND --help` says the same.",
    ]
    for name, command in commands():
        parts += _section(name, command)
    return "\n\n".join(parts) + "\n"


def _section(name: str, command: click.Command) -> Iterator[str]:
    ctx = click.Context(command, info_name=name, **{**cli.context_settings, **command.context_settings})
    yield f"{'##' if name.count(' ') == 1 else '###'} {name}"
    usage = " ".join(command.collect_usage_pieces(ctx))
    yield f"```text\n{name} {usage}\n```"
    yield _escaped(plain(command.help or "", command))
    yield from _options(click.Command.get_params(command, ctx), ctx, command)
    if isinstance(command, GeneratedCommand):
        for title, options in _generated(command):
            yield f"**{title}**"
            yield from _options(options, ctx, command)
    examples = [
        line.strip() for line in plain(command.epilog or "", command).splitlines() if "rld-distill " in line
    ]
    if examples:
        yield "Examples:"
        yield "```sh\n" + "\n".join(examples) + "\n```"


def _generated(command: GeneratedCommand) -> Iterator[tuple[str, Sequence[click.Parameter]]]:
    from d3rlpy_distill.catalogue import METHODS

    if isinstance(command, MethodCommand):
        for entry in METHODS.entries():
            yield (
                f"Options of `--method {entry.name}`",
                command.generate(Given({"method": entry.name}, [])).options,
            )
    else:
        for task in TASKS:
            yield f"Options of `{task}`", command.generate(Given({}, [task])).options


def _options(params: Sequence[click.Parameter], ctx: click.Context, command: click.Command) -> Iterator[str]:
    rows = []
    for param in params:
        if not isinstance(param, click.Option) or param.hidden:
            continue
        extra: Any = param.get_help_extra(ctx)
        notes = [f"default: {extra['default']}"] if extra.get("default") else []
        notes += [str(extra["range"])] if extra.get("range") else []
        names = ", ".join(f"`{one}`" for one in (*param.opts, *param.secondary_opts))
        kind = "" if param.is_flag else str(param.make_metavar(ctx)).replace(" RANGE", "")
        text = _escaped(" ".join(plain(param.help or "", command).split()))
        note = f" ({_escaped(', '.join(notes))})" if notes else ""
        rows.append(f"| {names} | {_escaped(kind)} | {text}{note} |")
    if rows:
        yield "\n".join(["| option | value | what |", "| --- | --- | --- |", *rows])


def _escaped(text: str) -> str:
    for character in "\\|<*_[]":
        text = text.replace(character, "\\" + character) if character != "<" else text.replace("<", "&lt;")
    return text
