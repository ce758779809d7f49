"""Fields of a method's configuration: their ranges, and what the command line says of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

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
    """Refuses values out of range.

    Raises:
        SettingsError: Naming the field, the value and the range.
    """
    for field, told in options_of(type(config)):
        value = getattr(config, field.name)
        optional = field.default is None or told.off is not None
        if (value is None and not optional) or (value is not None and not told.admits(value)):
            shown = repr(value) if isinstance(value, str) else value
            nothing = " or None" if optional else ""
            raise SettingsError(f"{field.name}={shown}: expected {told.expected() or 'a value'}{nothing}.")
