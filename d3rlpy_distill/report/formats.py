"""The formats that a report can be written in, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ..registry import Plugins, Registry
from .contents import Report

__all__ = ["FORMATS", "Format", "write_report"]

Format: TypeAlias = Callable[[Report], str]
"""Returns a report as text, without a newline at the end."""

FORMATS: Registry[Format] = Registry("format", Plugins())

for _name, _line in (
    ("md", "Tables as Markdown."),
    ("latex", "Tables for LaTeX with the package booktabs."),
    ("csv", "One row for each arm, split and mode, numbers as numbers."),
    ("json", "The same as objects, with how and of what they were made."),
    ("html", "One page to look at: tables that sort, plots, galleries, films, provenance, commands."),
):
    _module = {"md": "markdown"}.get(_name, _name)
    FORMATS.add(_name, f"d3rlpy_distill.report.{_module}:write_{_module}", _line)


def write_report(report: Report, name: str = "md") -> str:
    """Returns a report as text, without a newline at the end.

    Args:
        report: What it shows.
        name: One of :data:`FORMATS`.

    Raises:
        UnknownNameError: If there is no such format.
        DistillError: If an arm is to be compared that an evaluation has not.
    """
    return FORMATS.get(name)(report)
