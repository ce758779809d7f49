"""How well students of distilled files, and of the frames they started from, predict the expert on levels 200-299.

The validation levels are the only ones on which a setting may be chosen. Mean over students of the negative
log-likelihood, 100 steps of 15 each.
Run: ``python benchmarks/validation_loss.py data/starpilot-150.h5 [more files]``"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import gym_notices.notices
import numpy as np
import structlog

gym_notices.notices.notices.clear()
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))

from d3rlpy_distill import PAPER_SYNTHETIC, TransitionArrays, one_step_buffer, paper_student, train_student  # noqa: E402
from d3rlpy_distill.training import held_out_loss  # noqa: E402
from procgen_datasets import VALIDATION_LEVELS, CollectConfig, collect, load_dataset  # noqa: E402
from procgen_datasets.hdf5 import read_extras  # noqa: E402

STUDENTS, EPISODES, FRAMES = 10, 40, 2000


def validation_data() -> TransitionArrays:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "validation.h5"
        collect(CollectConfig("starpilot", episodes=EPISODES, levels=VALIDATION_LEVELS), path)
        data = TransitionArrays.from_buffer(load_dataset(path)[0])
    chosen = np.random.default_rng(0).choice(len(data), FRAMES, replace=False)
    return TransitionArrays.from_buffer(data.take(np.sort(chosen)))


def losses(data: TransitionArrays, validation: TransitionArrays) -> list[float]:
    config, steps = paper_student(PAPER_SYNTHETIC), PAPER_SYNTHETIC.n_steps
    return [held_out_loss(train_student(config, data, steps, seed=s), validation) for s in range(STUDENTS)]


if __name__ == "__main__":
    validation = validation_data()
    for name in sys.argv[1:]:
        data = TransitionArrays.from_buffer(load_dataset(name)[0])
        frames = read_extras(name, "initial")["observations"]
        initial = TransitionArrays.from_buffer(
            one_step_buffer(frames, data.actions, data.returns_to_go, data.action_size)
        )
        change = np.abs(data.observations.astype(np.float32) - frames).mean()
        row = {"file": Path(name).name, "mean_pixel_change": round(float(change), 3)}
        for label, arrays in (("initial", initial), ("distilled", data)):
            values = losses(arrays, validation)
            row[f"{label}_loss"] = round(float(np.mean(values)), 3)
            row[f"{label}_std"] = round(float(np.std(values)), 3)
        print(json.dumps(row), flush=True)
