"""Colours that the colour-blind can tell apart, and which kind of arm has which."""

from __future__ import annotations

from ..evaluation.arms import ArmKind

__all__ = ["COLOURS", "GREY", "family"]

BLUE, ORANGE, GREEN, RED, SKY, PINK, GREY, BLACK = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#999999", "#000000",
)  # fmt: skip
COLOURS = (BLUE, RED, GREEN, ORANGE, PINK, SKY)
"""Those of Okabe and Ito (2008), in the order that lines take them; without yellow, and black, which ensembles have."""

FAMILIES = {
    "distilled": ("distilled", RED),
    "initial": ("distilled, before the first step", ORANGE),
    "full": ("real data", BLUE),
    "percentile": ("real data", BLUE),
    "converged": ("real data", BLUE),
    "teachers": ("teachers of the labels", GREEN),
    "expert": ("expert", GREEN),
    "ensemble": ("an arm's students as one policy", BLACK),
    "random-policy": ("random policy", SKY),
}


def family(about: ArmKind) -> tuple[str, str]:
    """Returns what an arm is called in a key, and its colour; every coreset is a few real samples."""
    if about.kind in FAMILIES:
        return FAMILIES[about.kind]
    return ("few real samples, soft labels", PINK) if about.labels == "soft" else ("few real samples", GREY)
