"""The numbers printed in arXiv 2407.20299, to stand beside ours; they are the paper's, not measured here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..evaluation.results import Results

__all__ = [
    "PAPER_COLUMNS",
    "PAPER_FIGURES",
    "PAPER_RETURNS",
    "PAPER_SIZES",
    "PAPER_TABLES",
    "PAPER_TABLE_OF_SIZES",
    "reproduces_paper",
]

PAPER_TABLES: Mapping[str, str] = MappingProxyType({"id": "Table 2", "ood": "Table 3"})
PAPER_FIGURES: Mapping[str, str] = MappingProxyType({"id": "figure-3-id", "ood": "figure-4-ood"})
PAPER_TABLE_OF_SIZES = "Table 4"

PAPER_COLUMNS = ("Expert", "BC10%", "BC25%", "BC40%", "BC100%", "Synthetic")

PAPER_RETURNS: Mapping[tuple[str, str], tuple[float, ...]] = MappingProxyType(
    {
        ("bigfish", "id"): (14.27, 0.90, 0.93, 1.01, 1.00, 1.03),
        ("starpilot", "id"): (28.88, 1.73, 2.10, 2.17, 1.85, 1.50),
        ("jumper", "id"): (8.79, 1.79, 2.15, 1.95, 2.32, 2.76),
        ("bigfish", "ood"): (6.03, 0.93, 0.85, 0.83, 0.87, 0.83),
        ("starpilot", "ood"): (23.34, 1.83, 1.95, 2.12, 1.82, 1.54),
        ("jumper", "ood"): (5.61, 1.81, 1.80, 1.82, 2.50, 2.86),
    }
)
"""Tables 2 (``"id"``) and 3 (``"ood"``): mean returns in the order of :data:`PAPER_COLUMNS`."""

PAPER_SIZES: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "bigfish": (2027, 5014, 7336, 10450, 150),
        "starpilot": (1116, 2796, 4192, 6830, 150),
        "jumper": (392, 919, 1337, 4837, 150),
    }
)
"""Table 4: transitions in the order of :data:`PAPER_COLUMNS` without the expert."""


def reproduces_paper(results: Results) -> bool:
    """Tells whether results are of the paper's student on one of its games: only these bear its tables' numbers."""
    game = results.title
    return results.task == f"procgen/{game}" and game in PAPER_SIZES and results.students == ["paper"]
