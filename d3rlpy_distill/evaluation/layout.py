"""JSON for people and for git: an object that holds no other stands on one line."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["lay_out"]


def lay_out(value: Any, margin: str = "") -> str:
    """Returns JSON text without a newline at the end: short, and one arm that changes is one line that changes.

    Args:
        value: JSON values.
        margin: What stands before every line but the first.
    """
    if not any(map(_has_object, _items(value))):
        return json.dumps(value)
    inner = margin + " "
    if isinstance(value, dict):
        lines = [f"{json.dumps(key)}: {lay_out(item, inner)}" for key, item in value.items()]
    else:
        lines = [lay_out(item, inner) for item in value]
    begin, end = "{}" if isinstance(value, dict) else "[]"
    return f"{begin}\n" + ",\n".join(inner + line for line in lines) + f"\n{margin}{end}"


def _items(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, (list, tuple)) else []


def _has_object(value: Any) -> bool:
    return isinstance(value, dict) or any(map(_has_object, _items(value)))
