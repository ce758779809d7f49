"""How much a command says on stderr: progress, what was done, what to type next."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import rich_click as click

__all__ = ["is_quiet", "is_verbose", "say", "say_next", "speech_options"]

F = TypeVar("F", bound=Callable[..., Any])

QUIET, VERBOSE = "rld_distill.quiet", "rld_distill.verbose"


def speech_options() -> list[click.Option]:
    """Returns ``-v`` and ``-q``, which every command has."""
    return [
        click.RichOption(
            ["-v", "--verbose"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=lambda ctx, param, value: _set(ctx, VERBOSE, value),
            help="Say what is done, and what to type next, also where stderr is no terminal.",
        ),
        click.RichOption(
            ["-q", "--quiet"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=lambda ctx, param, value: _set(ctx, QUIET, value),
            help="Say nothing on stderr but errors.",
        ),
    ]


def _set(ctx: click.Context, key: str, value: bool) -> None:
    ctx.meta[key] = ctx.meta.get(key, False) or value


def is_quiet() -> bool:
    """Whether nothing but errors is to be said."""
    return _asked(QUIET)


def is_verbose() -> bool:
    """Whether more is to be said than a terminal is shown."""
    return _asked(VERBOSE) and not is_quiet()


def _asked(key: str) -> bool:
    ctx = click.get_current_context(silent=True)
    return ctx is not None and bool(ctx.meta.get(key))


def say(text: str) -> None:
    """Says on stderr what was done."""
    if not is_quiet():
        click.echo(text, err=True)


def say_next(*words: object) -> None:
    """Says on stderr what to type next, if a person may read it.

    Args:
        words: Of the command, without the program's name.
    """
    if sys.stderr.isatty() or is_verbose():
        say(f"next: {shlex.join(['rld-distill', *map(str, words)])}")
