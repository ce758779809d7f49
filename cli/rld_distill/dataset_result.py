"""What a command that made a dataset prints of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .options import echo_result

__all__ = ["echo_dataset"]


def echo_dataset(as_json: bool, path: Path, info: Any, seconds: float) -> None:
    """Prints a dataset's size, return and hash: a JSON object or a line."""
    size = path.stat().st_size
    result = {
        "path": str(path),
        "episodes": info.num_episodes,
        "transitions": info.num_transitions,
        "return_mean": info.return_mean,
        "bytes": size,
        "content_sha256": info.content_sha256,
        "seconds": seconds,
    }
    text = (
        f"{path}: {info.num_episodes} episodes, {info.num_transitions} transitions, "
        f"mean return {info.return_mean:.2f}, {size / 1e6:.1f} MB"
    )
    echo_result(as_json, result, text)
