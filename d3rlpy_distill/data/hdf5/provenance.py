"""Where a dataset comes from: what a reader needs to believe it and to make it again."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import platform
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["Provenance", "package_versions"]

PACKAGES = ("d3rlpy-distill", "d3rlpy", "torch", "numpy", "h5py", "gymnasium", "procgen", "procgen-mirror")


KINDS: Mapping[str, type] = {
    "config": dict, "source": str, "source_sha256": str, "expert": str, "expert_sha256": str, "policy": str
}  # fmt: skip
"""Of the settings that are read again, where there are such."""


def package_versions() -> dict[str, str]:
    """Returns the version of Python and of each installed package that the results depend on."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Root attributes of a dataset file.

    Args:
        kind: ``"collected"``, ``"mixed"``, ``"imported"`` or ``"distilled"``.
        task: The task's name, for example ``"procgen/starpilot"``; None where nobody knows.
        action_size: Number of discrete actions, which d3rlpy would otherwise infer from the data, or of the
            dimensions of a continuous one.
        command: The command line that makes the file again.
        settings: Everything else that decides the content (JSON values only): levels, seeds, the expert and
            its hash, the environment and its version; or the distillation's configuration and its source.
        packages: Versions, see :func:`package_versions`.
    """

    kind: str
    task: str | None
    action_size: int
    command: str
    settings: Mapping[str, Any]
    packages: Mapping[str, str] = dataclasses.field(default_factory=package_versions)

    def to_attributes(self) -> dict[str, Any]:
        """Returns HDF5 attribute values; mappings become JSON text."""
        return {
            "kind": self.kind,
            "task": self.task or "",
            "action_size": self.action_size,
            "command": self.command,
            "settings": json.dumps(self.settings, sort_keys=True),
            "packages": json.dumps(self.packages, sort_keys=True),
        }

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> Provenance:
        """Inverse of :meth:`to_attributes`.

        Raises:
            KeyError, ValueError: If the attributes are not those of a dataset of ours.
        """
        task = str(attributes["task"]) if "task" in attributes else _task_of_0_1(str(attributes["game"]))
        told = {key: json.loads(attributes[key]) for key in ("settings", "packages")}
        for key, value in told.items():
            if not isinstance(value, dict):
                raise ValueError(f"its {key} are {str(value)[:40]!r}: expected a JSON object")
        for key, kind in KINDS.items():
            value = told["settings"].get(key)
            if not isinstance(value, kind | None):
                raise ValueError(f"its setting {key!r} is {str(value)[:40]!r}: expected {kind.__name__}")
        return cls(
            kind=str(attributes["kind"]),
            task=task or None,
            action_size=int(attributes["action_size"]),
            command=str(attributes["command"]),
            settings=told["settings"],
            packages=told["packages"],
        )


def _task_of_0_1(game: str) -> str:
    """Returns the task that a file of version 0.1 names: a game of Procgen's by its bare name, or gymnasium's id."""
    return f"gym/{game}" if re.search(r"-v\d+$", game) else f"procgen/{game}"
