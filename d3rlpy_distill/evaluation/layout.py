"""JSON for people and for git: an object that holds no other stands on one line."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["lay_out"]


def lay_out(value: Any) -> str:
    """Returns JSON text without a newline at the end: short, and one arm that changes is one line that changes.

    Args:
        value: JSON values.
    """
    if not any(map(_has_object, _items(value))):
        return json.dumps(value, separators=(",", ":"))
    if isinstance(value, dict):
        lines = [f"{json.dumps(key)}:{lay_out(item)}" for key, item in value.items()]
    else:
        lines = [lay_out(item) for item in value]
    begin, end = "{}" if isinstance(value, dict) else "[]"
    return f"{begin}\n" + ",\n".join(lines) + f"\n{end}"


def _items(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, (list, tuple)) else []


def _has_object(value: Any) -> bool:
    return isinstance(value, dict) or any(map(_has_object, _items(value)))
