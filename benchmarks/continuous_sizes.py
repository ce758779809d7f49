"""Draws the scores of one dataset's sets over their sizes, ``docs/figures/continuous-sizes.png``.

The line of distilled sets is their mean, its bars the lowest and the highest set. Random transitions and random states
with the same labels stand beside it; all data, which no size changes, is dotted.

Run: ``python -m benchmarks.continuous_sizes``. It reads what ``benchmarks.continuous_control`` saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from d3rlpy_distill.evaluation import Results
from d3rlpy_distill.files import appears_atomically
from d3rlpy_distill.report.colours import COLOURS, GREY

from .update_readme import OTHER_PRESETS, ROOT, of_sizes

DATASET = "hopper-medium"
PATH = ROOT / "docs" / "figures" / "continuous-sizes.png"


def curve(dataset: str) -> Figure:
    """Returns the figure, scores of 0 to 100."""
    rows = of_sizes(dataset)
    sizes = list(rows)
    random, initial, distilled, _, lowest, highest = np.array(list(rows.values())).T
    figure = Figure(figsize=(6, 4), layout="constrained")
    axis = figure.subplots()
    spread = [distilled - lowest, highest - distilled]
    axis.errorbar(
        sizes, distilled, yerr=spread, color=COLOURS[0], marker="o", capsize=3, label="distilled, three sets"
    )
    axis.plot(sizes, initial, color=COLOURS[1], marker="s", label="random states, labels of the sets")
    axis.plot(sizes, random, color=GREY, marker="x", label="random transitions")
    full = Results.load(OTHER_PRESETS / f"{dataset}-percentile.json").get("bc-100", "test", "greedy")
    assert full is not None and full.normalised is not None
    axis.axhline(100 * full.normalised, linestyle=":", color="black", label="all data")
    axis.set(title=dataset, xlabel="samples", ylabel="normalised score", xscale="log", ylim=(0, None))
    axis.set_xticks(sizes, [f"{size}" for size in sizes])
    axis.set_xticks([], minor=True)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def main(path: Path = PATH) -> None:
    with appears_atomically(path, overwrite=True) as partial:
        curve(DATASET).savefig(partial, format="png", dpi=120)
    print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
