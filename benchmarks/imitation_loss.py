"""How closely the students that ``evaluate`` kept imitate the expert: its dataset's frames, and levels 200-299.

For each arm and power of the expert's policy, its students' mean cross-entropy, beside the expert's own entropy
and the policy that takes the expert's action frequencies everywhere.
Run: ``python benchmarks/imitation_loss.py d3rlpy_data/jumper-expert.h5 results/jumper-1000x64``"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from expert_frames import ExpertFrames
from validation_levels import ValidationLevels

from d3rlpy_distill import PAPER_BC, paper_student
from d3rlpy_distill.evaluation import StudentPolicy
from d3rlpy_distill.evaluation.store import EvaluationStore
from d3rlpy_distill.learner import build_learner, learner_network
from procgen_datasets.hdf5 import read_info


def kept_students(directory: Path, arm: str, n: int) -> list[StudentPolicy]:
    """The students of an arm, as far as they are trained."""
    store = EvaluationStore(directory, json.loads((directory / "evaluation.json").read_text()))
    students = []
    for i in range(n):
        if (known := store.load_student(arm, i)) is not None:
            learner = build_learner(paper_student(PAPER_BC), (3, 64, 64), 15, seed=0)
            learner_network(learner).load_state_dict(known[0])
            students.append(StudentPolicy(learner))
    return students


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--sharpness", type=float, nargs="+", default=[1.0, 4.0])
    arguments = parser.parse_args()
    info = read_info(arguments.dataset)
    assert info.provenance is not None
    n = json.loads((arguments.results / "evaluation.json").read_text())["students"]
    arms = sorted(path.name for path in (arguments.results / "students").iterdir())
    students = {arm: kept_students(arguments.results, arm, n) for arm in arms}
    frames = {
        "dataset": ExpertFrames.of(arguments.dataset),
        "validation": ValidationLevels(info.provenance.game).frames,
    }
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
