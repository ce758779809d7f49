"""Results of version 0.1, whose arms had names and nothing else: the one place where a name is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["from_0_1"]

SPLITS = {"id": "seen levels (ID)", "ood": "unseen levels (OOD)"}
VALIDATION = {"start": 200, "num": 100}
WHOLE = re.compile(r"bc-(?P<percent>\d+)(?P<converged>-converged)?")
SMALL = re.compile(r"(?P<kind>prior|random|balanced|init|distilled|soft)-(?P<size>\d+)")
TEACHERS = "teachers-of-"


def from_0_1(value: Mapping[str, Any]) -> tuple[dict[str, Any], list[npt.NDArray[np.float64]]]:
    """Returns an object of version 0.1 as one of the present schema, and its returns ``(S, K)``, an array an arm.

    Raises:
        KeyError, TypeError, ValueError: If it does not follow the schema of version 0.1.
    """
    protocol = dict(value["protocol"])
    full, small = protocol.pop("bc"), protocol.pop("synthetic")
    students = protocol.pop("algorithms", ["paper"])
    protocol.pop("datasets", None)
    protocol["budgets"] = {name: {"full": full, "small": small} for name in students}
    splits = dict(SPLITS)
    if protocol.get("levels", {}).get("ood") == VALIDATION:
        splits["ood"] = "validation levels (200-299)"
    soft = [arm["name"].removeprefix(TEACHERS) for arm in value["arms"] if arm["name"].startswith(TEACHERS)]
    arms, returns = [], []
    for arm in value["arms"]:
        if arm["split"] not in SPLITS or arm["mode"] not in ("sampled", "greedy"):
            raise ValueError(f"arm {arm['name']!r} has split {arm['split']!r}, mode {arm['mode']!r}")
        about = _about(arm["name"], students, soft, arm["samples"])
        arms.append({**arm, **about})
        returns.append(np.array(arm["returns"], np.float64).reshape(arm["n_students"], arm["n_episodes"]))
    new = {"task": f"procgen/{value['game']}", "provenance": value["provenance"], "protocol": protocol}
    return {**new, "splits": splits, "arms": arms}, returns


def _about(name: str, students: list[str], soft: list[str], samples: int) -> dict[str, Any]:
    if name in ("random-policy", "expert"):
        return _kind(name)
    if name.startswith(TEACHERS):
        return _kind("teachers", of=name.removeprefix(TEACHERS), labels="soft")
    student = next((one for one in students if name.startswith(f"{one}-")), None)
    if students == ["paper"] or student is None:
        student, rest = "paper", name
    else:
        rest = name.removeprefix(f"{student}-")
    if rest in soft or rest.startswith("soft-"):
        return _kind("distilled", samples, "soft", student)
    if rest.startswith("random-soft-") or rest.removeprefix("random-") in soft:
        return _kind("random", samples, "soft", student, of=rest.removeprefix("random-"))
    if whole := WHOLE.fullmatch(rest):
        if whole["converged"]:
            return _kind("converged", student=student)
        return _kind("full" if whole["percent"] == "100" else "percentile", student=student)
    if rest == "full" or rest.startswith("percentile-"):
        return _kind(rest.partition("-")[0], student=student)
    if small := SMALL.fullmatch(rest):
        kind = {"init": "initial", "soft": "distilled"}.get(small["kind"], small["kind"])
        of = f"distilled-{small['size']}" if kind == "initial" else None
        return _kind(kind, int(small["size"]), "soft" if small["kind"] == "soft" else "actions", student, of)
    return _kind("distilled", samples, "actions", student)  # an arm of --also


def _kind(
    kind: str, size: int | None = None, labels: str = "actions", student: str | None = None, of: str | None = None
) -> dict[str, Any]:
    return {"kind": kind, "size": size, "labels": labels, "student": student, "of": of}
