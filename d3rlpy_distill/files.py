"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

__all__ = ["appears_atomically", "write_json"]


@contextlib.contextmanager
def appears_atomically(path: Path) -> Iterator[Path]:
    """Yields a path to write to, in the same directory, which becomes ``path`` if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Writes indented JSON atomically."""
    with appears_atomically(path) as partial:
        partial.write_text(json.dumps(value, indent=1) + "\n")
