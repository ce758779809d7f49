"""How closely the students that ``evaluate`` kept imitate the expert: its dataset's frames, and levels 200-299.

For each arm and power of the expert's policy, its students' mean cross-entropy, beside the expert's own entropy
and the policy that takes the expert's action frequencies everywhere.
Run: ``python -m benchmarks.findings.imitation_loss d3rlpy_data/jumper-expert@1.h5 results/jumper-1000x64``"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from d3rlpy_distill import OfflineDataset
from d3rlpy_distill.students.kept import load_student

from .expert_frames import ExpertFrames
from .kept_students import kept_students
from .validation_levels import ValidationLevels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("results", type=Path, help="what 'rld-distill evaluate' made with --out")
    parser.add_argument("--sharpness", type=float, nargs="+", default=[1.0, 4.0])
    arguments = parser.parse_args()
    dataset = OfflineDataset.load(arguments.dataset)
    students = {
        arm: [load_student(file).policy for file in files]
        for arm, files in kept_students(arguments.results).items()
    }
    frames = {"dataset": ExpertFrames.of(dataset), "validation": ValidationLevels(dataset.task).frames}
    for sharpness in arguments.sharpness:
        for where, seen in frames.items():
            row: dict[str, object] = {
                "frames": where,
                "sharpness": sharpness,
                "expert": round(seen.entropy(sharpness), 3),
                "constant": round(seen.constant(sharpness), 3),
            }
            for arm, trained in students.items():
                losses = seen.losses(trained, sharpness)
                row[arm] = f"{np.mean(losses):.3f} ± {np.std(losses):.3f}"
            print(json.dumps(row, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
