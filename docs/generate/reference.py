"""Pages of the Python reference: what each public module exports, described by its docstrings."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Iterator
from types import ModuleType

__all__ = ["MODULES", "reference_pages"]

MODULES = {
    "d3rlpy_distill": "What you import: `import d3rlpy_distill as dd`.",
    "d3rlpy_distill.report": "Tables, plots, galleries.",
    "d3rlpy_distill.evaluation": "Arms, protocol, results, statistics.",
    "d3rlpy_distill.methods": "What a method is made of.",
    "d3rlpy_distill.students": "Students and teachers.",
    "d3rlpy_distill.tasks": "Tasks, and the policies played on them.",
    "d3rlpy_distill.data": "Datasets and their files.",
    "d3rlpy_distill.exchange": "To and from d3rlpy, Minari and Hugging Face.",
    "procgen_datasets": "Procgen: environments, experts, recipes.",
}
"""Public modules, each with a line. A name is described where it is exported first."""


def reference_pages() -> Iterator[tuple[str, str]]:
    """Yields the place on the site and the Markdown of every page."""
    rows: list[str] = []
    described: set[int] = set()
    for module, line in MODULES.items():
        exported = importlib.import_module(module)
        names = [name for name in exported.__all__ if not name.startswith("__")]
        new = [name for name in names if id(getattr(exported, name)) not in described]
        described.update(id(getattr(exported, name)) for name in names)
        rows.append(f"| [`{module}`]({module}.md) | {line} |")
        new.sort(key=functools.partial(_order, exported))
        yield f"reference/{module}.md", _page(module, line, new)
    yield (
        "reference/index.md",
        "\n".join(
            [
                "# Python reference",
                "",
                "Generated from the docstrings. Arrays stand with their shapes and dtypes.",
                "",
                "| module | what |",
                "| --- | --- |",
                *rows,
                "",
            ]
        ),
    )


def _order(module: ModuleType, name: str) -> tuple[int, str]:
    """Functions come first, then classes, then constants."""
    value = getattr(module, name)
    return 1 if inspect.isclass(value) else 0 if callable(value) else 2, name


def _page(module: str, line: str, names: list[str]) -> str:
    return "\n\n".join([f"# {module}", line, *(f"::: {module}.{name}" for name in names)]) + "\n"
