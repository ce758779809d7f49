"""Fields of a method's configuration: their ranges, and what the command line says of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from .errors import SettingsError

__all__ = ["Option", "check_options", "option", "options_of"]

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Option:
    """What a field may be.

    Args:
        help: What it is, for ``--help``.
        choices: The texts that it may be.
        minimum: The smallest number that it may be.
        above: A number that it must exceed.
        maximum: The largest number that it may be.
        below: A number that it must not reach.
        off: What to type for None.
    """

    help: str
    choices: tuple[str, ...] | None = None
    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    below: float | None = None
    off: float | None = None

    def expected(self) -> str:
        """Returns the range in words."""
        if self.choices is not None:
            return f"one of {', '.join(self.choices)}"
        low = f"{self.minimum:g} or more" if self.minimum is not None else ""
        low = f"above {self.above:g}" if self.above is not None else low
        high = f"at most {self.maximum:g}" if self.maximum is not None else ""
        high = f"below {self.below:g}" if self.below is not None else high
        return " and ".join(text for text in (low, high) if text)

    def admits(self, value: object) -> bool:
        """Tells whether a value that is not None lies in the range; NaN and infinity lie in none."""
        if self.choices is not None:
            return value in self.choices
        if not isinstance(value, (int, float)):
            return not self.expected()
        return math.isfinite(value) and (
            (self.minimum is None or value >= self.minimum)
            and (self.above is None or value > self.above)
            and (self.maximum is None or value <= self.maximum)
            and (self.below is None or value < self.below)
        )


def option(
    default: T,
    help: str,
    *,
    choices: Sequence[str] | None = None,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    below: float | None = None,
    off: float | None = None,
) -> T:
    """Returns a dataclass field that the command line offers; :class:`Option` says what the arguments mean."""
    told = Option(help, tuple(choices) if choices else None, minimum, above, maximum, below, off)
    field: T = dataclasses.field(default=default, metadata={"option": told})
    return field


def options_of(kind: type[Any]) -> Iterator[tuple[dataclasses.Field[Any], Option]]:
    """Yields the fields of a dataclass that :func:`option` made."""
    for field in dataclasses.fields(kind):
        if "option" in field.metadata:
            yield field, field.metadata["option"]


def check_options(config: object) -> None:
    """Refuses values out of range, and of another kind; NumPy's numbers become Python's, which JSON can hold.

    Raises:
        SettingsError: Naming the field, the value and the range.
    """
    for field, told in options_of(type(config)):
        value = _plain(getattr(config, field.name))
        object.__setattr__(config, field.name, value)
        optional = field.default is None or told.off is not None
        kind = None if value is None else _kind(field)
        other = kind is not None and not _is_of(kind, value)
        if other or (value is None and not optional) or (value is not None and not told.admits(value)):
            shown = repr(value) if isinstance(value, str) else value
            nothing = " or None" if optional else ""
            expected = " of ".join(text for text in (kind if other else None, told.expected()) if text)
            raise SettingsError(f"{field.name}={shown}: expected {expected or 'a value'}{nothing}.")


WHOLE, NUMBER, TRUTH = "a whole number", "a number", "True or False"


def _kind(field: dataclasses.Field[Any]) -> str | None:
    """What a field is annotated as, in words; None for other kinds."""
    parts = {part.strip() for part in str(field.type).split("|")} - {"None"}
    return {"int": WHOLE, "float": NUMBER, "bool": TRUTH}.get(parts.pop()) if len(parts) == 1 else None


def _is_of(kind: str, value: object) -> bool:
    if kind == TRUTH or isinstance(value, bool):
        return kind == TRUTH and isinstance(value, bool)
    return isinstance(value, int) or (kind == NUMBER and isinstance(value, float))


def _plain(value: object) -> object:
    """A number of NumPy's as one of Python's."""
    return value.item() if isinstance(value, np.generic) else value
