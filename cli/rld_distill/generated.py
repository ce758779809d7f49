"""Options that are generated from the fields of a configuration, which the command line itself names."""

from __future__ import annotations

import abc
import contextlib
import copy
import dataclasses
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from .options import PRINT, ConfigCommand, read_config

if TYPE_CHECKING:
    from d3rlpy_distill.options import Option

__all__ = ["GENERATED", "GIVEN", "Generated", "GeneratedCommand", "Given", "generate", "spelling"]

SPELLINGS = {"n_samples": "--samples", "greedy": "--greedy/--sampled"}
"""What the command line calls a field, where that is not the field's own name."""
GENERATED, GIVEN = "rld_distill.generated", "rld_distill.given"


@dataclasses.dataclass(frozen=True)
class Generated:
    """The options of a dataclass.

    Args:
        options: In the order of its fields.
        fields: The field of each, by the option's name.
    """

    options: Sequence[click.Option]
    fields: Mapping[str, tuple[dataclasses.Field[Any], Option]]

    def take(self, params: dict[str, Any]) -> dict[str, Any]:
        """Takes what the user gave out of a command's parameters; returns it by the names of the fields."""
        settings = {}
        for name, (field, told) in self.fields.items():
            value = params.pop(name)
            if value is not None:
                settings[field.name] = None if told.off is not None and value == told.off else value
        return settings


def generate(
    kind: type[Any], panel: str, *, from_preset: bool = False, also: Mapping[str, Sequence[str]] | None = None
) -> Generated:
    """Returns the options of a dataclass whose fields are made by :func:`d3rlpy_distill.option`.

    Args:
        kind: The dataclass.
        panel: Title of the group that ``--help`` shows them in.
        from_preset: Whether what is not given comes from a preset, and not from the fields' defaults.
        also: Further names of a field's option.

    Raises:
        PluginError: If a field has a type that no option can have.
    """
    from d3rlpy_distill.options import options_of

    options, fields = [], {}
    for field, told in options_of(kind):
        spelled, annotation = spelling(field.name), _annotation(kind, field)
        if annotation is bool and "/" not in spelled:
            spelled = f"{spelled}/--no-{spelled[2:]}"
        name = spelled.partition("/")[0][2:].replace("-", "_")
        default = None if from_preset and field.name not in SPELLINGS else field.default
        options.append(
            click.RichOption(
                [name, spelled, *(also or {}).get(field.name, ())],
                type=None if annotation is bool else _type(f"{kind.__name__}.{field.name}", annotation, told),
                default=default,
                show_default=default is not None,
                help=told.help,
                panel=panel,
            )
        )
        fields[name] = (field, told)
    return Generated(options, fields)


def spelling(field: str) -> str:
    """Returns the option of a field: ``--real-batch-size`` of ``real_batch_size``."""
    return SPELLINGS.get(field, "--" + field.replace("_", "-"))


def _annotation(kind: type[Any], field: dataclasses.Field[Any]) -> Any:
    """The type of a field, ``T`` of ``T | None``; other fields may have types that exist for type checkers alone."""
    from d3rlpy_distill.errors import PluginError

    owner = next(base for base in kind.__mro__ if field.name in vars(base).get("__annotations__", {}))
    holder = types.SimpleNamespace(__annotations__={field.name: field.type})
    try:
        hints = typing.get_type_hints(holder, vars(sys.modules[owner.__module__]))
    except NameError as error:
        raise PluginError(f"{kind.__name__}.{field.name}: {error}: import what its type needs.") from error
    annotation = hints[field.name]
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return annotation
    rest = [one for one in typing.get_args(annotation) if one is not type(None)]
    return rest[0] if len(rest) == 1 else annotation


def _type(where: str, annotation: Any, told: Option) -> click.ParamType:  # type: ignore[type-arg]
    from d3rlpy_distill.errors import PluginError

    choices = told.choices
    if choices is None and typing.get_origin(annotation) is typing.Literal:
        choices = typing.get_args(annotation)
    if choices is not None:
        return click.Choice(choices)
    if annotation is str:
        return click.STRING
    if annotation is Path:
        return click.Path(path_type=Path)
    if annotation not in (int, float):
        raise PluginError(
            f"{where} is of type {annotation}: an option is of bool, int, float, str, Path or a Literal of texts, "
            "or of one of them or None."
        )
    low, low_open = _bound(told.minimum, told.above, told.off, min)
    high, high_open = _bound(told.maximum, told.below, told.off, max)
    if low is None and high is None:
        return click.INT if annotation is int else click.FLOAT
    if annotation is int:
        low, high = (None if end is None else int(end) for end in (low, high))
        return click.IntRange(low, high, min_open=low_open, max_open=high_open)
    return click.FloatRange(low, high, min_open=low_open, max_open=high_open)


def _bound(
    closed: float | None, excluded: float | None, off: float | None, outer: Any
) -> tuple[float | None, bool]:
    """An end of the admitted range, and whether it is open; what is typed for None lies in the range."""
    end = closed if excluded is None else excluded
    if end is not None and off is not None and outer(off, end) == off:
        return off, False
    return end, excluded is not None


@dataclasses.dataclass(frozen=True)
class Given:
    """What a command line holds, read before its generated options are known.

    Args:
        options: Values of the options that are known, those of a ``--config`` file among them.
        rest: What may be arguments: no options, and no values of known ones.
    """

    options: Mapping[str, Any]
    rest: Sequence[str]


class GeneratedCommand(ConfigCommand, abc.ABC):
    """A command some of whose options are the fields of a dataclass; its callback gets them as ``settings``."""

    @abc.abstractmethod
    def generate(self, given: Given) -> Generated:
        """Returns the options for what the command line names."""

    def always(self) -> Sequence[click.Option]:
        """Returns generated options that are there whatever is named."""
        return ()

    def explain(self, ctx: click.Context, given: Given, option: str) -> None:
        """Raises an error that is better than 'no such option', where there is one."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.panels = [click.RichOptionPanel("Options")]  # named, it comes before the generated ones
        super().format_options(ctx, formatter)  # type: ignore[arg-type]

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        known = super().get_params(ctx)
        generated: Generated | None = ctx.meta.get(GENERATED)
        return known if generated is None else [*known, *generated.options]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:  # a shell asks how the line may go on
            with contextlib.suppress(Exception):  # a line that is being typed may be wrong in any way
                ctx.meta[GENERATED] = self.generate(self._read(args))
            return super().parse_args(ctx, args)
        given = self._read(args)
        ctx.meta[GIVEN] = given
        ctx.meta[GENERATED] = self._checked(self.generate(given))
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            self.explain(ctx, given, error.option_name)
            raise

    def invoke(self, ctx: click.Context) -> Any:
        if not ctx.meta.get(PRINT):
            generated: Generated = ctx.meta[GENERATED]
            ctx.params["settings"] = generated.take(ctx.params)
        return super().invoke(ctx)

    def _read(self, args: Sequence[str]) -> Given:
        """Reads the options that are known, and loads the plug-ins among them."""
        from d3rlpy_distill.registry import load_plugin

        known = [param for param in self.params if isinstance(param, click.Option)]
        reader = click.Command(
            self.name,
            params=[_passive(option) for option in (*known, *self.always())],
            add_help_option=False,
            context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        )
        seen = reader.make_context(self.name, list(args), resilient_parsing=True)
        options = {name: value for name, value in seen.params.items() if value not in (None, ())}
        config = options.get("config")
        if config is not None and config.is_file():
            options = {**read_config(config), **options}
        for path in options.get("plugin", ()):
            load_plugin(Path(path))
        return Given(options, [text for text in seen.args if not text.startswith("-")])

    def _checked(self, generated: Generated) -> Generated:
        """Refuses a field whose option would hide one of the command's own."""
        from d3rlpy_distill.errors import PluginError

        mine = {"--help", *(opt for param in self.params for opt in (*param.opts, *param.secondary_opts))}
        for option in generated.options:
            if taken := mine.intersection((*option.opts, *option.secondary_opts)):
                field, _ = generated.fields[str(option.name)]
                raise PluginError(
                    f"the field {field.name!r} would be the option {min(taken)}, which {self.name!r} has: rename it."
                )
        return generated


def _passive(option: click.Option) -> click.Option:
    """Returns a copy that does nothing but say what was typed."""
    twin = copy.copy(option)
    twin.callback, twin.is_eager, twin.expose_value, twin.required, twin.default = None, False, True, False, None
    return twin
