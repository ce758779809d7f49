"""Results of version 0.1, whose arms had names and nothing else: the one place where a name is read."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["from_0_1"]

SPLITS = {"id": ("id", "seen levels (ID)"), "ood": ("ood", "unseen levels (OOD)")}
VALIDATION = ("validation", "validation levels (200-299)")
VALIDATION_LEVELS = {"start": 200, "num": 100}
"""What version 0.1 played as ``ood`` when it was told ``--unseen-levels validation``."""
WHOLE = re.compile(r"bc-(?P<percent>\d+)(?P<converged>-converged)?")
SMALL = re.compile(r"(?P<kind>prior|random|balanced|init|distilled)-(?P<size>\d+)")
TEACHERS = "teachers-of-"


def from_0_1(value: Mapping[str, Any]) -> tuple[dict[str, Any], list[npt.NDArray[np.float64]]]:
    """Returns an object of version 0.1 as one of the present schema, and its returns ``(S, K)``, an array an arm.

    The protocol's ``bc`` and ``synthetic`` become the budgets of every student. The hashes and the provenance of the
    distilled sets come to stand under the names of their arms.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: If it does not follow the schema of version 0.1.
    """
    protocol, provenance = dict(value["protocol"]), dict(value["provenance"])
    students = protocol.pop("algorithms", ["paper"])
    protocol.pop("datasets", None)
    budgets = {"full": protocol.pop("bc", None), "small": protocol.pop("synthetic", None)}
    if all(budgets.values()):
        protocol["budgets"] = dict.fromkeys(students, budgets)
    others = protocol.pop("other_sha256", {})
    if "distilled" in provenance:
        name, digest = _distilled_arm(provenance["distilled"]), protocol.get("distilled_sha256")
        provenance["distilled"] = {name: {**provenance["distilled"], "content_sha256": digest}}
        protocol["distilled_sha256"] = {name: digest, **others}  # of a soft set, that of samples and labels
    levels = protocol.get("levels", {})
    splits = {**SPLITS, "ood": VALIDATION} if levels.get("ood") == VALIDATION_LEVELS else SPLITS
    if levels:
        protocol["levels"] = {splits[old][0]: where for old, where in levels.items()}
    soft = _soft_sets([arm["name"] for arm in value["arms"]], others)
    arms, returns = [], []
    for arm in value["arms"]:
        about = _about(arm["name"], students, soft, arm["samples"])
        arms.append({**arm, **about, "split": splits[arm["split"]][0]})
        returns.append(np.array(arm["returns"], np.float64).reshape(arm["n_students"], arm["n_episodes"]))
    new = {"task": f"procgen/{value['game']}", "protocol": protocol, "provenance": provenance}
    return {**new, "splits": dict(splits.values()), "arms": arms}, returns


def _distilled_arm(record: Mapping[str, Any]) -> str:
    """The arm of the set that the table was made for, from its provenance."""
    settings = record.get("settings")
    if not settings:
        return "distilled"  # a file of another program
    taught = bool(settings["steps"]) or "teachers_sha256" in settings
    soft = settings["config"]["method"] == "LabelDistillationConfig" and taught
    return f"{'soft' if soft else 'distilled'}-{settings['config']['n_samples']}"


def _soft_sets(names: Sequence[str], others: Collection[str]) -> set[str]:
    """The distilled sets with soft labels: a policy that gave them, or random samples of their kind, tells."""
    taught = {name.removeprefix(TEACHERS) for name in names if name.startswith(TEACHERS)}
    beside = {name for name in others if f"random-{name}" in names}
    return taught | beside | {name for name in {*names, *others} if name.startswith("soft-")}


def _about(name: str, students: Sequence[str], soft: Collection[str], samples: int) -> dict[str, Any]:
    if name in ("random-policy", "expert"):
        return _kind(name)
    if name.startswith(TEACHERS):
        return _kind("teachers", of=name.removeprefix(TEACHERS), labels="soft")
    student, rest = "paper", name
    for one in students:
        if name.startswith(f"{one}-") and one != "paper":
            student, rest = one, name.removeprefix(f"{one}-")
    if rest in soft:
        return _kind("distilled", samples, "soft", student)
    if rest.removeprefix("random-") in soft:
        return _kind("random", samples, "soft", student, of=rest.removeprefix("random-"))
    if whole := WHOLE.fullmatch(rest):
        if whole["converged"]:
            return _kind("converged", student=student)
        return _kind("full" if whole["percent"] == "100" else "percentile", student=student)
    if rest == "full" or rest.startswith("percentile-"):
        return _kind(rest.partition("-")[0], student=student)
    if small := SMALL.fullmatch(rest):
        kind, size = small["kind"], int(small["size"])
        if kind == "init":
            return _kind("initial", size, student=student, of=f"distilled-{size}")
        return _kind(kind, size, student=student)
    return _kind("distilled", samples, student=student)  # an arm of --also


def _kind(
    kind: str, size: int | None = None, labels: str = "actions", student: str | None = None, of: str | None = None
) -> dict[str, Any]:
    return {"kind": kind, "size": size, "labels": labels, "student": student, "of": of}
