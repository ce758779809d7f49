"""How results were made, in words: the commands in order, and what they ran on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..evaluation.results import Results

__all__ = ["commands", "facts", "version"]

PACKAGE = "d3rlpy-distill"


def commands(results: Results) -> list[str]:
    """Returns the command lines that made the data, the distilled sets and the results, in that order."""
    provenance = results.provenance
    made = [_mapping(provenance.get("real")), *map(_mapping, _mapping(provenance.get("distilled")).values())]
    lines = [one.get("command") for one in (*made, provenance)]
    return list(dict.fromkeys(line for line in lines if isinstance(line, str) and line))


def version(results: Results) -> str | None:
    """Returns the version of this package that made them; None if they do not say."""
    told = _mapping(results.provenance.get("packages")).get(PACKAGE)
    return told if isinstance(told, str) else None


def facts(results: Results) -> list[tuple[str, str]]:
    """Returns names and values: the task, the data and the sets with their hashes, versions, the machine."""
    provenance, protocol = results.provenance, results.protocol
    real, hashes = _mapping(provenance.get("real")), _mapping(protocol.get("distilled_sha256"))
    found = [
        ("task", results.task),
        ("real data", real.get("file")),
        ("its SHA-256", protocol.get("real_sha256")),
    ]
    for name, about in _mapping(provenance.get("distilled")).items():
        found += [(str(name), _mapping(about).get("file"))]
    found += [(f"SHA-256 of {name}", value) for name, value in hashes.items()]
    found += [
        ("SHA-256 of the expert", protocol.get("expert_sha256")),
        ("environment", provenance.get("environment_build") or protocol.get("environment")),
        ("packages", _joined(provenance.get("packages"))),
        ("machine", _joined(provenance.get("machine"))),
        ("seed", protocol.get("seed")),
    ]
    return [(name, str(value)) for name, value in found if value not in (None, "")]


def _mapping(value: Any) -> Mapping[str, Any]:
    """Anybody may have written a file: what is no object says nothing."""
    return value if isinstance(value, Mapping) else {}


def _joined(value: Any) -> str:
    return ", ".join(f"{name} {one}" for name, one in _mapping(value).items())
