"""The options of methods."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from .generated import GENERATED, GIVEN, Generated, GeneratedCommand, Given, generate, spelling
from .options import warn

if TYPE_CHECKING:
    from d3rlpy_distill.methods import Method
    from d3rlpy_distill.options import Option

__all__ = ["DEFAULT_METHOD", "MethodCommand"]

DEFAULT_METHOD = "gradient"


def _every_method() -> Generated:
    """The options of all methods, each in the group of those that have it."""
    from d3rlpy_distill.catalogue import METHODS
    from d3rlpy_distill.errors import PluginError
    from d3rlpy_distill.options import options_of

    kinds: dict[str, type[Method]] = {}
    for entry in METHODS.entries():
        with contextlib.suppress(PluginError):  # another's trouble
            kinds[entry.name] = entry.load()
    everyone = set(METHODS.names("")) & set(kinds)
    owners: dict[str, dict[str, Option]] = {}
    for name, kind in kinds.items():
        for field, told in options_of(kind):
            owners.setdefault(field.name, {})[name] = told
    groups: dict[str, list[click.Option]] = {"every method": []}
    for field_name, having in owners.items():
        group = "every method" if everyone <= set(having) else ", ".join(having)
        own = generate(kinds[next(iter(having))], f"Options of {group}", from_preset=True)
        for option in own.options:
            if own.fields[str(option.name)][0].name == field_name:
                groups.setdefault(group, []).append(_for_all(option, list(having.values())))
    return Generated([option for options in groups.values() for option in options], {})


def _for_all(option: click.Option, tolds: Sequence[Option]) -> click.Option:
    """The option of one method, with what several say of theirs and all that one of them takes."""
    option.help = " / ".join(dict.fromkeys(told.help for told in tolds))
    if choices := dict.fromkeys(choice for told in tolds for choice in told.choices or ()):
        option.type = click.Choice(list(choices))
    return option


class MethodCommand(GeneratedCommand):
    """A command with the options of the method that its ``--method`` names."""

    def generate(self, given: Given) -> Generated:
        from d3rlpy_distill.catalogue import METHODS
        from d3rlpy_distill.methods import Method

        name = str(given.options.get("method", DEFAULT_METHOD))
        kind = METHODS.get(name)
        owner = next(base for base in kind.__mro__ if "preset" in vars(base))
        preset = owner is not Method
        title = f"Options of --method {name}{'; what is not given comes from the preset' if preset else ''}"
        return generate(kind, title, from_preset=preset)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Shows the options of the method that is named; where none is, those of every method, grouped."""
        given: Given = ctx.meta[GIVEN]
        if "method" not in given.options:
            ctx.meta[GENERATED] = _every_method()
        super().format_options(ctx, formatter)

    def in_force(self, ctx: click.Context) -> dict[str, Any]:
        """What the preset gives a dataset; one that has a name alone is not made for that."""
        generated: Generated = ctx.meta[GENERATED]
        values = dict(ctx.params)
        settings = generated.take(values)
        if not Path(values["dataset"]).exists():
            warn(f"{values['dataset']} is no file: what a preset makes of it is left out.")
            return {}
        method = self.configured(values, settings)
        found = {}
        for name, (field, told) in generated.fields.items():
            value = getattr(method, field.name)
            found[name] = told.off if value is None else value
        return found

    @abc.abstractmethod
    def configured(self, values: Mapping[str, Any], settings: Mapping[str, Any]) -> Method:
        """Returns the method that a command line configures.

        Args:
            values: Of the command's own options.
            settings: Of the method's.
        """

    def explain(self, ctx: click.Context, given: Given, option: str) -> None:
        from d3rlpy_distill.catalogue import METHODS
        from d3rlpy_distill.errors import PluginError
        from d3rlpy_distill.options import options_of

        others = []
        for entry in METHODS.entries():
            try:
                names = {name for field, _ in options_of(entry.load()) for name in spelling(field.name).split("/")}
            except PluginError:  # another's trouble
                continue
            if option in names:
                others.append(entry.name)
        if others:
            remedy = "that" if len(others) == 1 else "one of them"
            raise click.UsageError(
                f"{option} is for --method {' or '.join(others)}: leave it out, or give {remedy}.", ctx
            )
