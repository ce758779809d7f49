"""What few frames lack: students of them beside a last layer that is fitted to the same frames on learned features.

For each number of random frames with the labels of the teachers in a file of ``rld-distill distill --method labels``:
the loss of students that train on them, and that of ridge regression from them on the features of the first teacher.
Losses are those of ``expert_frames.py`` on levels 200-299; "calibrated" is the loss at the temperature that suits
each policy best, so that a policy is not blamed for being too sure. Files named as well are distilled sets of the
same teachers; their students stand beside the others.
Run: ``python -m benchmarks.findings.few_frames starpilot-expert.h5 starpilot-labels.h5 [starpilot-kernel.h5]``"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from d3rlpy_distill import Budget, Distilled, OfflineDataset, TransitionArrays
from d3rlpy_distill.learners.learner import PIECE, build_learner, imitator_logits, learner_network, scale
from d3rlpy_distill.learners.training import train_learner
from d3rlpy_distill.methods.ridge import LastLayers, kernels, last_layers, ridge_regression
from d3rlpy_distill.students.impala import ImpalaS2dStudent
from d3rlpy_distill.students.teachers import Teachers

from .expert_frames import ExpertFrames
from .validation_levels import ValidationLevels

RIDGES = (1e-3, 1e-2, 1e-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("soft", type=Path)
    parser.add_argument("distilled", type=Path, nargs="*")
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 150, 600, 1500])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--students", type=int, default=5)
    arguments = parser.parse_args()
    dataset, soft = OfflineDataset.load(arguments.dataset), Distilled.load(arguments.soft)
    teachers = soft.teachers
    if teachers is None or soft.provenance is None:
        parser.error("expected a file of 'rld-distill distill --method labels'.")
    sharpness = soft.provenance.settings["config"]["sharpness"] or 1.0
    frames, budget = ValidationLevels(dataset.task).frames, Budget(arguments.steps, arguments.batch)
    data = dataset.transitions
    data = dataclasses.replace(data, probabilities=teachers.label(data.observations))

    def of_students(samples: Sequence[TransitionArrays]) -> dict[str, float]:
        config = ImpalaS2dStudent().learner(dataset, budget)
        learners = [train_learner(config, one, budget.n_steps, seed=1000 + i) for i, one in enumerate(samples)]
        logits = [imitator_logits(one, frames.observations) for one in learners]
        plain = [frames.cross_entropy(torch.log_softmax(one, 1).numpy(), sharpness) for one in logits]
        calibrated = [frames.calibrated(one, sharpness) for one in logits]
        return {**summary("loss", plain), **summary("calibrated", calibrated)}

    teacher = frames.calibrated(teachers.logits(frames.observations), sharpness)
    print(
        json.dumps({"constant": round(frames.constant(sharpness), 3), "teachers, calibrated": round(teacher, 3)}),
        flush=True,
    )
    for size in arguments.sizes:
        drawn = [
            data.take(np.random.default_rng(seed).choice(len(data), size, replace=False))
            for seed in range(arguments.students)
        ]
        on_features = [ridge_on_features(teachers, one, frames, sharpness) for one in drawn]
        print(
            json.dumps({"random": size, **of_students(drawn), **summary("on a teacher's features", on_features)}),
            flush=True,
        )
    for path in arguments.distilled:
        distilled = Distilled.load(path)
        row = of_students([distilled.training_set().examples] * arguments.students)
        print(json.dumps({"file": path.name, "size": len(distilled), **row}), flush=True)


def ridge_on_features(
    teachers: Teachers, samples: TransitionArrays, frames: ExpertFrames, sharpness: float
) -> float:
    """Returns the calibrated loss of the first teacher's last layer, fitted anew to samples, at its best ridge."""
    learner = build_learner(teachers.config, samples.observations.shape[1:], samples.action_size, seed=0)
    learner_network(learner).load_state_dict(teachers.weights[0])

    def read(observations: torch.Tensor) -> LastLayers:
        pieces = [scale(learner, piece) for piece in observations.split(PIECE)]
        return LastLayers(torch.cat([last_layers(learner, one, None, torch.float64).features for one in pieces]))

    assert samples.probabilities is not None
    logits = torch.from_numpy(samples.probabilities.astype(np.float64)).clamp_min(1e-4).log()
    logits -= logits.mean(1, keepdim=True)
    with torch.no_grad():
        pair = kernels(read(frames.observations), read(torch.from_numpy(samples.observations)), 0.0)
        return min(frames.calibrated(ridge_regression(*pair, logits, ridge), sharpness) for ridge in RIDGES)


def summary(name: str, values: Sequence[float] | npt.NDArray[np.float64]) -> dict[str, float]:
    """Mean and deviation."""
    return {name: round(float(np.mean(values)), 3), f"{name}, deviation": round(float(np.std(values)), 3)}


if __name__ == "__main__":
    main()
