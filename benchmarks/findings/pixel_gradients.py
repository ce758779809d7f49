"""Whether networks agree how a frame should change: cosines between their gradients of the method ``kernel``.

Networks of ``impala-s2d`` train on a soft set for a number of steps each, from initialisations of their own. Each
gives the gradient of the regression's loss for the set's pixels and its labels. The mean cosine over pairs of
networks says what share of a gradient is common, and whether more pairs of one network with other real frames do
better. Pooled over squares of pixels, only coarse changes are compared.
Run: ``python -m benchmarks.findings.pixel_gradients starpilot-expert.h5 starpilot-labels.h5``"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from d3rlpy_distill import Budget, Distilled, KernelRegressionConfig, OfflineDataset, TransitionArrays
from d3rlpy_distill.methods.kernel import KernelObjective
from d3rlpy_distill.methods.soft_samples import SoftSamples
from d3rlpy_distill.students.impala import ImpalaS2dStudent

REAL = 1024
POOLED = (2, 8, 32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("soft", type=Path)
    parser.add_argument("--ages", type=int, nargs="+", default=[5, 100])
    parser.add_argument("--networks", type=int, default=10)
    parser.add_argument("--tangent", type=float, nargs="+", default=[0.0, 0.7])
    arguments = parser.parse_args()
    dataset, soft = OfflineDataset.load(arguments.dataset), Distilled.load(arguments.soft)
    teachers, data = soft.teachers, dataset.transitions
    if teachers is None or soft.samples.probabilities is None:
        parser.error("expected a file of 'rld-distill distill --method labels'.")
    data = dataclasses.replace(data, probabilities=teachers.label(data.observations))
    for tangent, age in itertools.product(arguments.tangent, arguments.ages):
        config = KernelRegressionConfig(
            learner=ImpalaS2dStudent().learner(dataset, Budget(400, 64)),
            n_samples=len(soft),
            tangent=tangent,
            real_batch_size=REAL,
            horizon=2**31,
            students=1,
        )
        pairs = [gradients(config, data, soft, age, seed) for seed in range(arguments.networks)]
        pixels = [first["observations"] for first, _ in pairs]
        row = {
            "pixels": agreement(pixels),
            **{
                f"pixels, squares of {side}": agreement([F.avg_pool2d(one, side) for one in pixels])
                for side in POOLED
            },
            "labels": agreement([first["labels"] for first, _ in pairs]),
            "pixels, one network": float(
                np.mean([cosine(a["observations"], b["observations"]) for a, b in pairs])
            ),
        }
        rounded = {name: round(value, 4) for name, value in row.items()}
        print(json.dumps({"tangent": tangent, "steps": age, **rounded}), flush=True)


def gradients(
    config: KernelRegressionConfig, data: TransitionArrays, soft: Distilled, age: int, seed: int
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Returns two gradients of one network of this age, for two draws of real frames."""
    assert soft.samples.probabilities is not None
    samples = SoftSamples(
        soft.samples.observations, soft.samples.probabilities, data.observations, moved=True, device="cpu:0"
    )
    objective = KernelObjective(config, data, np.random.default_rng(seed), "cpu:0")
    objective.step(samples)  # chooses the network
    for _ in range(age):
        objective.advance(samples)
    pair = []
    for _ in range(2):
        objective.step(samples)
        pair.append({name: one.grad.clone() for name, one in samples.parameters.items() if one.grad is not None})
    return pair[0], pair[1]


def agreement(ones: Sequence[torch.Tensor]) -> float:
    """Returns the mean cosine over pairs."""
    return float(np.mean([cosine(a, b) for a, b in itertools.combinations(ones, 2)]))


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    """Of two tensors as vectors."""
    return float((a * b).sum() / (a.norm() * b.norm()).clamp_min(1e-30))


if __name__ == "__main__":
    main()
