"""The numbers printed in arXiv 2407.20299, to stand beside ours when asked for; they are not measured here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..evaluation.results import Results
from .table import Table

__all__ = ["PAPER_RETURNS", "paper_table", "reproduces_paper"]

SOURCE = "arXiv 2407.20299"
TABLES: Mapping[str, str] = MappingProxyType({"id": "its Table 2", "ood": "its Table 3"})
COLUMNS = ("Expert", "BC10%", "BC25%", "BC40%", "BC100%", "Synthetic")

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
"""Tables 2 (``"id"``) and 3 (``"ood"``): mean returns in the order of :data:`COLUMNS`."""

SIZES: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "bigfish": (2027, 5014, 7336, 10450, 150),
        "starpilot": (1116, 2796, 4192, 6830, 150),
        "jumper": (392, 919, 1337, 4837, 150),
    }
)
"""Table 4: transitions in the order of :data:`COLUMNS` without the expert."""


def reproduces_paper(results: Results) -> bool:
    """Tells whether results are of the paper's student on one of its games: its figures stand beside no others."""
    game = results.title
    return results.task == f"procgen/{game}" and game in SIZES and results.students == ["paper"]


def paper_table(results: Results) -> Table:
    """Returns the paper's own figures for a game, captioned as such.

    Args:
        results: Of its student on that game, see :func:`reproduces_paper`; its splits are shown.
    """
    game = results.title
    rows = [
        (f"returns {split.upper()}, {table}", *(f"{value:.2f}" for value in PAPER_RETURNS[game, split]))
        for split, table in TABLES.items()
        if split in results.splits
    ]
    rows.append(("size, its Table 4", "", *(str(value) for value in SIZES[game])))
    return Table(
        f"The paper's own figures for {game}, as {SOURCE} prints them "
        "(another expert, other data; quoted, not measured)",
        ("paper", *COLUMNS),
        rows,
    )
