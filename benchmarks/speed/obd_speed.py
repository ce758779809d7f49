"""A step of offline behaviour distillation by its authors' code (arXiv 2410.22728), and by the methods here.

All on the same transitions, 256 samples, networks of their three layers of 256, one thread. Theirs is Av-PBC: 100 steps
of SGD on all samples, unrolled, and a loss on ten batches of 256, weighted by values. ``unrolled`` does as much, with
Adam. ``kernel-actions`` is a step of its defaults, with d3rlpy's network. Policy and critic are at random, which costs
as much as trained ones. The matrix products of such a step, timed alone, say how fast any code could be.

Their code is not part of this project. Fetch it, and say where it lies:

    git clone https://github.com/LeavesLei/OBD
    OMP_NUM_THREADS=1 python -m benchmarks.speed.obd_speed OBD --dataset hopper-medium
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import itertools
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from d3rlpy.algos import BCConfig
from d3rlpy.models.encoders import VectorEncoderFactory
from d3rlpy.preprocessing import MinMaxActionScaler, StandardObservationScaler

from d3rlpy_distill import ActionKernelConfig, OfflineDataset, Run, UnrolledMatchingConfig
from d3rlpy_distill.catalogue import STUDENTS
from d3rlpy_distill.methods.base import Method
from d3rlpy_distill.pipeline import load

SAMPLES, INNER, BATCHES, BATCH, WIDTH = 256, 100, 10, 256, 256
THEIR_STEPS = 50_000


class RandomPolicy:
    """A policy and a critic of random weights, of the size of theirs."""

    def __init__(self, size: int, actions: int) -> None:
        torch.manual_seed(0)
        self._policy, self._critic = mlp(size, actions, 3), mlp(size + actions, 1, 2)

    def actions(self, observations: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return torch.tanh(self._policy(observations))

    def values(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            values: torch.Tensor = self._critic(torch.cat([observations, actions], 1)).squeeze(1).abs()
        return values


def mlp(size: int, out: int, layers: int) -> torch.nn.Module:
    """Linear layers of 256 with ReLUs between them."""
    sizes = [size, *[WIDTH] * layers]
    hidden = [torch.nn.Sequential(torch.nn.Linear(a, b), torch.nn.ReLU()) for a, b in itertools.pairwise(sizes)]
    return torch.nn.Sequential(*hidden, torch.nn.Linear(sizes[-1], out))


def theirs(directory: Path, dataset: OfflineDataset, steps: int) -> float:
    """Seconds of a step of their ``SynSetBPTT``, the movement of the samples included."""
    sys.path.insert(0, str(directory))
    sys.modules.setdefault("wandb", ModuleType("wandb"))  # imported there, and not called by what is timed
    bptt, network = importlib.import_module("data_lib.data_bptt"), importlib.import_module("network")
    data, rng = dataset.transitions, np.random.default_rng(0)
    observations = np.asarray(data.observations, np.float32)
    observations = (observations - observations.mean(0)) / (observations.std(0) + 1e-3)
    (size,), actions = dataset.observation_shape, dataset.action_size
    start = rng.choice(len(data), SAMPLES, replace=False)
    synset = torch.nn.Module()
    for name, values in (("observations", observations[start]), ("actions", data.actions[start])):
        embedding = torch.nn.Embedding(*values.shape)
        embedding.weight = torch.nn.Parameter(torch.from_numpy(values))
        setattr(synset, name, embedding)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pt"
        actor = network.TanhGaussianPolicy(size, actions, 1.0, orthogonal_init=True)
        critic = network.FullyConnectedQFunction(size, actions)
        torch.save({"actor": actor.state_dict(), "critic1": critic.state_dict()}, path)
        config = SimpleNamespace(
            policy_type="gaussian",
            device="cpu",
            offline_policy_path=str(path),
            match_objective="offline_policy",
            q_weight=True,
            beta_weight=0.02,
            bptt=SimpleNamespace(inner_steps=INNER, test_batch_num=BATCHES),
            bptt_optim=SimpleNamespace(optimizer="SGD", lr=0.1, momentum=0.0, weight_decay=0),
        )
        step = bptt.SynSetBPTT(synset, (size,), (actions,), 1.0, config)
    rows = [{"obs": one, "acts": two} for one, two in zip(observations, data.actions, strict=True)]
    batches = torch.utils.data.DataLoader(rows, batch_size=BATCH, shuffle=True)
    optimizer = torch.optim.SGD(synset.parameters(), 0.1, momentum=0.9)

    def take() -> None:
        _, gradients, _ = step(batches)
        synset.observations.weight.grad, synset.actions.weight.grad = gradients
        optimizer.step()

    return seconds(take, steps)


def seconds(take: Callable[[], None], steps: int) -> float:
    """Of one call, after a first one that is not counted."""
    take()
    start = time.perf_counter()
    for _ in range(steps):
        take()
    return (time.perf_counter() - start) / steps


def ours(method: Method, dataset: OfflineDataset, steps: int) -> float:
    """Seconds of a step of a method, the first not counted."""
    ticks: list[float] = []
    shortened: Any = dataclasses.replace(method, steps=steps + 1)  # type: ignore[call-arg]
    run = Run(on_step=lambda step, total, loss: ticks.append(time.perf_counter()))
    shortened.distill(dataset, np.random.default_rng(0), run)
    return (ticks[-1] - ticks[0]) / steps


def products() -> float:
    """Seconds of the matrix products of such a step alone, in the two hidden layers of 256 x 256.

    A layer's training step has three: its output, the gradient of its weights and that of its input. Differentiating
    through it takes two for each of them. The loss after training takes the first three, for each of its batches. All
    have the same size, as batches and layers have 256 rows and columns.
    """
    count = 2 * (INNER * (3 + 2 * 3) + BATCHES * 3)
    left, right, out = torch.randn(BATCH, WIDTH), torch.randn(WIDTH, WIDTH), torch.empty(BATCH, WIDTH)

    def multiply() -> None:
        for _ in range(count):
            torch.mm(left, right, out=out)

    return seconds(multiply, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("authors", type=Path, help="directory of their code")
    parser.add_argument("--dataset", default="hopper-medium", help="a dataset of continuous actions: name or file")
    parser.add_argument("--steps", type=int, default=5, help="steps of theirs, and of unrolled")
    arguments = parser.parse_args()
    if not (arguments.authors / "data_lib" / "data_bptt.py").is_file():
        parser.error(
            f"{arguments.authors} has no data_lib/data_bptt.py: clone https://github.com/LeavesLei/OBD there."
        )
    dataset = load(arguments.dataset)
    learner = BCConfig(
        batch_size=BATCH,
        encoder_factory=VectorEncoderFactory([WIDTH] * 3),
        observation_scaler=StandardObservationScaler(),
        action_scaler=MinMaxActionScaler(),
    )
    policy = RandomPolicy(dataset.observation_shape[0], dataset.action_size)
    unrolled = UnrolledMatchingConfig(
        learner=learner,
        n_samples=SAMPLES,
        window=INNER,
        horizon=INNER,
        real_batch_size=BATCHES * BATCH,
        imitate="policy",
        weighting="value",
        policy=policy,
        learn_actions=True,
        output_dtype="float32",
    )
    kernel = ActionKernelConfig.preset(dataset, STUDENTS.get("mlp")(), settings={"n_samples": SAMPLES})
    before = theirs(arguments.authors, dataset, arguments.steps)
    print(
        f"authors, {INNER} inner steps: {1000 * before:.0f} ms a step, {before * THEIR_STEPS / 3600:.1f} h a set"
    )
    same = ours(unrolled, dataset, arguments.steps)
    print(f"unrolled, {INNER} inner steps: {1000 * same:.0f} ms a step, ratio {before / same:.2f}")
    least = products()
    print(f"matrix products of such a step alone: {1000 * least:.0f} ms, ratio {before / least:.2f}")
    fast = ours(kernel, dataset, 20 * arguments.steps)
    whole = fast * kernel.total_steps
    print(
        f"kernel-actions: {1000 * fast:.1f} ms a step, ratio {before / fast:.1f}; "
        f"{whole:.0f} s a set, ratio {before * THEIR_STEPS / whole:.0f}"
    )


if __name__ == "__main__":
    main()
