"""What distilled files gain over the frames they started from, on levels 200-299.

For each file, 10 students of 100 steps of 15: mean change of a pixel, cross-entropy to the expert (to the power
that the file was distilled with) and return, before and after.
Run: ``python benchmarks/validation_loss.py data/starpilot-150.h5 [more files of the game]``"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from validation_levels import STUDENTS, ValidationLevels, train

from d3rlpy_distill import TransitionArrays, one_step_buffer
from procgen_datasets import load_dataset
from procgen_datasets.hdf5 import read_extras

if __name__ == "__main__":
    levels: ValidationLevels | None = None
    for name in sys.argv[1:]:
        buffer, info = load_dataset(name)
        assert info.provenance is not None
        levels = levels or ValidationLevels(info.provenance.game)
        sharpness = info.provenance.settings["config"].get("sharpness") or 1.0
        data = TransitionArrays.from_buffer(buffer)
        frames = read_extras(name, "initial")["observations"]
        initial = TransitionArrays.from_buffer(
            one_step_buffer(frames, data.actions, data.returns_to_go, data.action_size)
        )
        change = np.abs(data.observations.astype(np.float32) - frames).mean()
        row = {"file": Path(name).name, "mean_pixel_change": round(float(change), 3)}
        for label, arrays in (("initial", initial), ("distilled", data)):
            score = levels.score([train(arrays, seed) for seed in range(STUDENTS)], sharpness)
            row |= {f"{label}_{key}": value for key, value in score.to_json().items()}
        print(json.dumps(row), flush=True)
