"""Objectives of the literature that are not in the library, each on the start and the loop of the default preset.

``distribution`` matches the mean features of each action's frames in random networks (Zhao and Bilen,
arXiv 2110.04181); ``augmented`` matches gradients of frames that were shifted, coloured or cut out alike on both
sides (Zhao and Bilen, arXiv 2102.08259); ``trajectory`` matches the weights that students reach on the real data
(Cazenavette et al., arXiv 2203.11932). Students and figures as in ``validation_loss.py``, on levels 200-299.
Run: ``python -m benchmarks.findings.tried_objectives d3rlpy_data/starpilot-expert@1.h5 distribution augmented``"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from d3rlpy_distill import Budget, GradientMatchingConfig, OfflineDataset, TransitionArrays
from d3rlpy_distill.learners.batch import Batch
from d3rlpy_distill.learners.functional import LearnerLoss
from d3rlpy_distill.learners.gradients import real_gradient, synthetic_gradient
from d3rlpy_distill.learners.learner import Learner, learner_network, scale
from d3rlpy_distill.learners.training import Trainer
from d3rlpy_distill.methods import Objective
from d3rlpy_distill.methods.gradient import GradientObjective
from d3rlpy_distill.methods.synthetic import SyntheticSet
from d3rlpy_distill.methods.theta import RandomTheta
from d3rlpy_distill.students.paper import PaperStudent

from .before_and_after import before_and_after
from .validation_levels import ValidationLevels

OBJECTIVES = ("distribution", "augmented", "trajectory")
CLASS_BATCH = 32  # real frames of each action, distribution matching
SHIFT, CUTOUT, STRENGTH = 6, 20, 0.3  # pixels, pixels, fraction
STUDENTS_OF_ALL, SNAPSHOTS, BETWEEN = 10, 20, 10  # whose weights are matched, and after how many steps each
INNER, INNER_BATCH = 10, 32  # steps on the samples towards the next of those weights


class _Stateless:
    """An objective for one run without checkpoints."""

    def advance(self) -> None: ...

    def state(self) -> dict[str, Any]:
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None: ...


class DistributionObjective(_Stateless):
    r"""Distance of mean features in random networks, :math:`\sum_a \|\bar\psi(D_a) - \bar\psi(\phi_a)\|^2`."""

    def __init__(self, config: GradientMatchingConfig, data: TransitionArrays, rng: np.random.Generator) -> None:
        self._theta, self._data, self._rng = RandomTheta(config.learner, data, rng, "cpu:0"), data, rng
        self._members = [np.flatnonzero(data.actions == a) for a in range(data.action_size)]

    def step(self, samples: SyntheticSet) -> float:
        data, actions, learner = self._data, samples.actions, self._theta.learner
        encoder = learner_network(learner)._encoder
        features = encoder(scale(learner, samples.observations))
        terms = []
        for a in actions.unique().tolist():
            with torch.no_grad():
                rows = self._rng.choice(self._members[a], CLASS_BATCH)
                real = encoder(scale(learner, data.observations[rows])).mean(0)
            terms.append(((features[actions == a].mean(0) - real) ** 2).sum())
        loss = torch.stack(terms).sum()
        if loss.requires_grad:
            loss.backward(inputs=list(samples.parameters.values()))
        return float(loss.detach())

    def advance(self) -> None:
        self._theta.advance()


def draw_augmentation(rng: np.random.Generator, size: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Draws a shift, a change of brightness, contrast or saturation, or a cutout, of frames in 0 to 255."""
    kind = rng.choice(["shift", "brightness", "contrast", "saturation", "cutout"])
    factor = 1 + rng.uniform(-STRENGTH, STRENGTH)
    dy, dx = rng.integers(-SHIFT, SHIFT + 1, size=2).tolist()
    top, left = rng.integers(size - CUTOUT, size=2).tolist()

    def augment(x: torch.Tensor) -> torch.Tensor:
        if kind == "shift":
            padded = F.pad(x, [SHIFT] * 4)
            return padded[:, :, SHIFT + dy : SHIFT + dy + size, SHIFT + dx : SHIFT + dx + size]
        if kind == "cutout":
            mask = torch.ones_like(x)
            mask[:, :, top : top + CUTOUT, left : left + CUTOUT] = 0
            return x * mask
        grey = {
            "brightness": torch.zeros(()),
            "contrast": x.mean((1, 2, 3), keepdim=True),
            "saturation": x.mean(1, keepdim=True),
        }[str(kind)]
        return (grey + factor * (x - grey)).clamp(0, 255)

    return augment


class AugmentedObjective(GradientObjective):
    """Gradient matching with the same augmentation of the real and the synthetic frames."""

    def step(self, samples: SyntheticSet) -> float:
        augment = draw_augmentation(self._rng, samples.observations.shape[-1])
        rows = self._batch(np.arange(len(self._data)))
        frames = augment(torch.from_numpy(self._data.observations[rows]).float()).numpy()
        seen = dataclasses.replace(self._data, observations=frames, actions=self._data.actions[rows])
        learner = self._theta.learner
        real = real_gradient(learner, seen, np.arange(len(rows)))
        synthetic = synthetic_gradient(learner, augment(samples.observations), samples.actions)
        distance = self._distance(real, synthetic)
        if distance.requires_grad:
            distance.backward(inputs=list(samples.parameters.values()))
        return float(distance.detach())


class TrajectoryObjective(_Stateless):
    r"""Distance to the weights of a student of the real data, over the distance that it went:

    :math:`\|\hat\theta_{t+N} - \theta^*_{t+M}\|^2 / \|\theta^*_t - \theta^*_{t+M}\|^2`, where
    :math:`\hat\theta` takes N plain gradient steps on samples from :math:`\theta^*_t`; their length is learned.
    """

    def __init__(self, config: GradientMatchingConfig, data: TransitionArrays, rng: np.random.Generator) -> None:
        self._rng = rng
        self._rate = torch.tensor(-3.0, requires_grad=True)  # its logarithm
        self._optimizer = torch.optim.Adam([self._rate], lr=0.02)
        self._students: list[tuple[Learner, list[dict[str, torch.Tensor]]]] = []
        while len(self._students) < STUDENTS_OF_ALL:
            learner = RandomTheta(config.learner, data, rng, "cpu:0").learner
            trainer, snapshots = Trainer(learner, data, rng), []
            for step in range(SNAPSHOTS * BETWEEN):
                if step % BETWEEN == 0:
                    named = learner_network(learner).named_parameters()
                    snapshots.append({name: value.detach().clone() for name, value in named})
                trainer.step()
            self._students.append((learner, snapshots))

    def step(self, samples: SyntheticSet) -> float:
        learner, snapshots = self._students[int(self._rng.integers(STUDENTS_OF_ALL))]
        start = int(self._rng.integers(SNAPSHOTS - 1))
        begin, goal = snapshots[start], snapshots[start + 1]
        names = list(begin)
        weights = [begin[name].clone().requires_grad_() for name in names]
        x, loss_of = scale(learner, samples.observations), LearnerLoss(learner)
        for _ in range(INNER):
            rows = torch.from_numpy(self._rng.integers(len(x), size=INNER_BATCH))
            named = {f"network.{n}": w for n, w in zip(names, weights, strict=True)}
            loss = torch.func.functional_call(loss_of, named, (Batch(x[rows], samples.actions[rows]),))
            gradients = torch.autograd.grad(loss, weights, create_graph=True)
            weights = [w - self._rate.exp() * g for w, g in zip(weights, gradients, strict=True)]
        left = sum(((w - goal[n]) ** 2).sum() for n, w in zip(names, weights, strict=True))
        gone = sum(((begin[n] - goal[n]) ** 2).sum() for n in names)
        distance = left / gone
        self._optimizer.zero_grad()
        distance.backward(inputs=[*samples.parameters.values(), self._rate])
        self._optimizer.step()
        return float(distance.detach())


@dataclasses.dataclass(frozen=True, kw_only=True)
class TriedConfig(GradientMatchingConfig):
    """The default preset with another objective."""

    tried: str = "distribution"

    def objective(
        self, data: TransitionArrays, samples: SyntheticSet, rng: np.random.Generator, device: str
    ) -> Objective:
        if self.tried == "augmented":
            return AugmentedObjective(self, self.create_theta(data, rng, device), data, samples.actions, rng)
        return {"distribution": DistributionObjective, "trajectory": TrajectoryObjective}[self.tried](
            self, data, rng
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("objectives", nargs="+", choices=OBJECTIVES)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--own-frames", action="store_true", help="150 frames instead of ten shared ones")
    parser.add_argument("--student-steps", type=int, default=100)
    parser.add_argument("--student-batch", type=int, default=15)
    arguments = parser.parse_args()
    dataset = OfflineDataset.load(arguments.dataset)
    levels = ValidationLevels(dataset.task)
    budget = Budget(arguments.student_steps, arguments.student_batch)
    own = {"shared_observations": None} if arguments.own_frames else {}
    for objective in arguments.objectives:
        settings = {"steps": arguments.steps, "tried": objective, **own}
        method = TriedConfig.preset(dataset, PaperStudent(), settings=settings)
        started = time.perf_counter()
        distilled = method.distill(dataset, np.random.default_rng(0))
        seconds = time.perf_counter() - started
        row = {**vars(arguments), "dataset": dataset.task, "objectives": objective, "seconds": round(seconds)}
        row |= before_and_after(dataset, distilled, levels, method.sharpness or 1.0, budget)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
