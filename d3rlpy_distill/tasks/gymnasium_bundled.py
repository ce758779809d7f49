"""Policies of gymnasium tasks that come with the package."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

__all__ = ["EXPERT", "MEDIUM", "bundled_file", "bundled_policies"]

EXPERT, MEDIUM = "expert", "medium"
FOLDER = "bundled"


def bundled_file(name: str) -> Path:
    """Returns where a file of the package's lies, whether it is there or not."""
    return Path(str(resources.files("d3rlpy_distill.tasks") / FOLDER / name))


def bundled_policies(env_id: str) -> dict[str, Path]:
    """Returns the files of the policies of an environment that are there, by what they are called."""
    plain = re.sub(r"[^\w.-]", "_", env_id)
    paths = {name: bundled_file(f"{plain}-{name}.safetensors") for name in (EXPERT, MEDIUM)}
    return {name: path for name, path in paths.items() if path.is_file()}
