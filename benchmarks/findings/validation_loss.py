"""What distilled files gain over the frames they started from, on levels 200-299.

For each file, 10 students of 100 steps of 15: mean change of a pixel, cross-entropy to the expert (to the power
that the file was distilled with) and return, before and after.
Run: ``python -m benchmarks.findings.validation_loss data/starpilot-150.h5 [more files of the game]``"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from d3rlpy_distill import PAPER_SMALL, Distilled, OfflineDataset

from .before_and_after import before_and_after
from .validation_levels import ValidationLevels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    levels: ValidationLevels | None = None
    for path in parser.parse_args().files:
        distilled = Distilled.load(path)
        if distilled.provenance is None or distilled.initial is None:
            parser.error(f"{path} holds no samples that were moved: expected a file of 'rld-distill distill'.")
        levels = levels or ValidationLevels(distilled.task)
        sharpness = distilled.provenance.settings["config"].get("sharpness") or 1.0
        dataset = OfflineDataset(distilled.to_buffer(), distilled.task)
        row = before_and_after(dataset, distilled, levels, sharpness, PAPER_SMALL)
        print(json.dumps({"file": path.name, **row}), flush=True)


if __name__ == "__main__":
    main()
