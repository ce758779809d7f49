"""Iterations a second of gradient matching by action against a plain loop in float32, 150 samples, 15 actions.

Two cases: at the expert's weights (the ``paper`` preset), where the real gradients are constant and computed
once, and at random initialisations of the paper's student (the paper's formula), where nothing can be kept.
The plain loop draws 256 real transitions for each action, the customary size; the paper names none.
Run: ``python -m benchmarks.speed.matching_speed data/starpilot.h5``"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from d3rlpy.algos import DiscreteBC, DiscreteBCConfig

from d3rlpy_distill import PAPER_SMALL, GradientMatchingConfig, OfflineDataset, Run
from d3rlpy_distill.data.allocation import allocate, draw_per_action
from d3rlpy_distill.students.paper import PaperStudent
from procgen_datasets import N_ACTIONS, load_expert

SAMPLES, BATCH = 150, 256


def create(config: DiscreteBCConfig, dataset: OfflineDataset) -> DiscreteBC:
    learner = config.create()
    learner.create_impl(dataset.observation_shape, dataset.action_size)
    return learner


def plain(dataset: OfflineDataset, expert: DiscreteBC | None, iterations: int) -> float:
    """For each action: a real gradient, a synthetic gradient, their squared distance; then one SGD step."""
    data, rng = dataset.transitions, np.random.default_rng(0)
    student = PaperStudent().learner(dataset, PAPER_SMALL)
    index = draw_per_action(data.actions, allocate(SAMPLES, data.action_counts(), "even"), rng)
    samples = torch.from_numpy(data.observations[index].astype(np.float32)).requires_grad_()
    labels = torch.from_numpy(data.actions[index])
    optimizer = torch.optim.SGD([samples], 0.1, momentum=0.5)
    start = time.perf_counter()
    for _ in range(iterations):
        learner = expert or create(student, dataset)
        parameters = list(learner.impl.modules.imitator.parameters())
        optimizer.zero_grad()
        for a in range(N_ACTIONS):
            chosen = rng.choice(np.flatnonzero(data.actions == a), BATCH)
            x = torch.from_numpy(data.observations[chosen]).float() / 255
            loss = learner.impl.compute_loss(x, torch.full((BATCH,), a)).loss
            real = torch.autograd.grad(loss, parameters)
            mine = labels == a
            loss = learner.impl.compute_loss(samples[mine] / 255, labels[mine]).loss
            synthetic = torch.autograd.grad(loss, parameters, create_graph=True)
            sum(((r - s) ** 2).sum() for r, s in zip(real, synthetic, strict=True)).backward()
        optimizer.step()
    return iterations / (time.perf_counter() - start)


def ours(dataset: OfflineDataset, settings: dict[str, object], expert: DiscreteBC, iterations: int) -> float:
    """The ``paper`` preset with these settings; its first iteration is a warm-up."""
    settings = {"n_samples": SAMPLES, **settings, "steps": iterations + 1}
    method = GradientMatchingConfig.preset(
        dataset, PaperStudent(), name="paper", settings=settings, expert=lambda: expert
    )
    ticks: list[float] = []
    run = Run(on_step=lambda step, total, loss: ticks.append(time.perf_counter()))
    method.distill(dataset, np.random.default_rng(0), run)
    return iterations / (ticks[-1] - ticks[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    dataset = OfflineDataset.load(parser.parse_args().dataset)
    expert = load_expert("starpilot").as_learner()
    formula = {"theta": "random", "real_batch_size": BATCH}
    result = {}
    for name, before, after in (
        ("expert", plain(dataset, expert, 2), ours(dataset, {}, expert, 20)),
        ("random", plain(dataset, None, 2), ours(dataset, formula, expert, 4)),
    ):
        result |= {f"{name}_plain_per_s": round(before, 3), f"{name}_ours_per_s": round(after, 3)}
        result[f"{name}_ratio"] = round(after / before, 2)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
