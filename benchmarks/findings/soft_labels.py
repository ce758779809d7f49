"""What makes few frames enough: their labels, how frames are chosen, how many there are, how long students train.

Students of frames with the actions that were taken, with the expert's own sharpened policy, and with the labels of
the teachers in a file of ``rld-distill distill --method labels``; random frames, a student's own, or chosen by
k-center. Loss and return as in ``validation_levels.py``, on levels 200-299.
Run: ``python -m benchmarks.findings.soft_labels d3rlpy_data/starpilot-expert@1.h5 starpilot-soft-150.h5``"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from d3rlpy_distill import Budget, Distilled, OfflineDataset
from d3rlpy_distill.data.relabel import sharpen
from d3rlpy_distill.methods.labels import far_apart

from .paper_students import STUDENTS, train
from .validation_levels import ValidationLevels

LABELS, FRAMES = ("actions", "expert", "teachers"), ("random", "k-center")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("soft", type=Path)
    parser.add_argument("--labels", nargs="+", choices=LABELS, default=LABELS)
    parser.add_argument("--frames", nargs="+", choices=FRAMES, default=FRAMES)
    parser.add_argument("--sizes", type=int, nargs="+", default=[150])
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--batches", type=int, nargs="+", default=[15])
    parser.add_argument("--students", type=int, default=STUDENTS)
    arguments = parser.parse_args()
    dataset, soft = OfflineDataset.load(arguments.dataset), Distilled.load(arguments.soft)
    data, teachers = dataset.transitions, soft.teachers
    if teachers is None or soft.provenance is None or dataset.policy is None:
        parser.error("expected a dataset with action probabilities, and a file of 'distill --method labels'.")
    sharpness = soft.provenance.settings["config"]["sharpness"] or 1.0
    policy = sharpen(dataset.policy, sharpness).astype(np.float32)
    taught = teachers.label(data.observations)
    labels: dict[str, npt.NDArray[np.float32] | None] = {"actions": None, "expert": policy, "teachers": taught}
    levels = ValidationLevels(dataset.task)
    common = {"task": dataset.task, "sharpness": sharpness}
    print(json.dumps({**common, "labels": "teachers themselves", **levels.score([teachers], sharpness).to_json()}))
    chosen = far_apart(taught, max(arguments.sizes))
    for kind, frames, size, steps, batch in itertools.product(
        arguments.labels, arguments.frames, arguments.sizes, arguments.steps, arguments.batches
    ):
        target, students = labels[kind], []
        for seed in range(arguments.students):
            rows = chosen[:size]
            if frames == "random":
                rows = np.random.default_rng(seed).choice(len(data), size, replace=False)
            samples = data.take(rows)
            if target is not None:
                samples = dataclasses.replace(samples, probabilities=target[rows])
            students.append(train(dataset, samples, 1000 + seed, Budget(steps, batch)))
        row = {"labels": kind, "frames": frames, "size": size, "steps": steps, "batch": batch}
        print(json.dumps({**common, **row, **levels.score(students, sharpness).to_json()}), flush=True)


if __name__ == "__main__":
    main()
