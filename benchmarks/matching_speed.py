"""Iterations a second of gradient matching by action against a plain loop in float32, 150 samples, 15 actions.

Two cases: at the expert's weights (the ``paper`` preset), where the real gradients are constant and computed
once, and at random initialisations of the paper's student (the paper's formula), where nothing can be kept.
The plain loop draws 256 real transitions for each action, the customary size; the paper names none.
Run: ``python benchmarks/matching_speed.py data/starpilot.h5``"""

from __future__ import annotations

import dataclasses
import json
import sys
import time

import gym_notices.notices
import numpy as np
import structlog
import torch

gym_notices.notices.notices.clear()
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))

from d3rlpy.algos import DiscreteBC, DiscreteBCConfig  # noqa: E402

from d3rlpy_distill import GradientMatchingConfig, TransitionArrays, paper_matching, paper_student  # noqa: E402
from d3rlpy_distill.allocation import allocate, draw_per_action  # noqa: E402
from d3rlpy_distill.presets import PAPER_SYNTHETIC  # noqa: E402
from procgen_datasets import load_dataset, load_expert  # noqa: E402

BATCH = 256


def create(config: DiscreteBCConfig) -> DiscreteBC:
    learner = config.create()
    learner.create_impl((3, 64, 64), 15)
    return learner


def plain(data: TransitionArrays, expert: DiscreteBC | None, iterations: int) -> float:
    """For each action: a real gradient, a synthetic gradient, their squared distance; then one SGD step."""
    rng = np.random.default_rng(0)
    index = draw_per_action(data.actions, allocate(150, data.action_counts(), "even"), rng)
    samples = torch.from_numpy(data.observations[index].astype(np.float32)).requires_grad_()
    labels = torch.from_numpy(data.actions[index])
    optimizer = torch.optim.SGD([samples], 0.1, momentum=0.5)
    start = time.perf_counter()
    for _ in range(iterations):
        learner = expert or create(paper_student(PAPER_SYNTHETIC))
        parameters = list(learner.impl.modules.imitator.parameters())
        optimizer.zero_grad()
        for a in range(15):
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


def ours(config: GradientMatchingConfig, buffer: object, weights: object, iterations: int) -> float:
    ticks: list[float] = []
    config.create(weights=weights).fit(
        buffer, iterations + 1, on_step=lambda step, loss: ticks.append(time.perf_counter())
    )
    return iterations / (ticks[-1] - ticks[0])


if __name__ == "__main__":
    buffer, _ = load_dataset(sys.argv[1])
    data = TransitionArrays.from_buffer(buffer)
    expert = load_expert("starpilot").as_learner()
    at_expert = paper_matching(expert.config)
    random = dataclasses.replace(
        paper_matching(paper_student(PAPER_SYNTHETIC)), theta="random", real_batch_size=BATCH
    )
    weights = expert.impl.modules.imitator.state_dict()
    result = {}
    for name, speeds in {
        "expert": (plain(data, expert, 2), ours(at_expert, buffer, weights, 20)),
        "random": (plain(data, None, 2), ours(random, buffer, None, 4)),
    }.items():
        result |= {f"{name}_plain_per_s": round(speeds[0], 3), f"{name}_ours_per_s": round(speeds[1], 3)}
        result[f"{name}_ratio"] = round(speeds[1] / speeds[0], 2)
    print(json.dumps(result))
