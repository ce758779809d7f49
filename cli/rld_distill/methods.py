"""The options of methods."""

from __future__ import annotations

import rich_click as click

from .generated import Generated, GeneratedCommand, Given, generate, spelling

__all__ = ["DEFAULT_METHOD", "MethodCommand"]

DEFAULT_METHOD = "gradient"


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
