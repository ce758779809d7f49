"""Objectives of the literature that are not in the library, each on the start and the loop of the default preset.

``distribution`` matches the mean features of each action's frames in random networks (Zhao and Bilen,
arXiv 2110.04181); ``augmented`` matches gradients of frames that were shifted, coloured or cut out alike on both
sides (Zhao and Bilen, arXiv 2102.08259); ``trajectory`` matches the weights that students reach on the real data
(Cazenavette et al., arXiv 2203.11932). Students and figures as in ``validation_loss.py``, on levels 200-299.
Run: ``python benchmarks/tried_objectives.py d3rlpy_data/starpilot-expert.h5 distribution augmented trajectory``"""

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
from recorded_dataset import RecordedDataset
from validation_levels import STUDENTS, ValidationLevels, train

from d3rlpy_distill import Budget, GradientMatchingConfig, TransitionArrays
from d3rlpy_distill.batch import Batch
from d3rlpy_distill.learner import Learner, learner_network, scale
from d3rlpy_distill.matching.family import Objective
from d3rlpy_distill.matching.gradients import real_gradient, synthetic_gradient
from d3rlpy_distill.matching.matcher import GradientObjective
from d3rlpy_distill.matching.presets import default_matching
from d3rlpy_distill.matching.synthetic import SyntheticSet
from d3rlpy_distill.matching.theta import RandomTheta, create_theta
from d3rlpy_distill.matching.unrolled import LearnerLoss
from d3rlpy_distill.training import Trainer

CLASS_BATCH = 32  # real frames of each action, distribution matching
SHIFT, CUTOUT, STRENGTH = 6, 20, 0.3  # pixels, pixels, fraction
STUDENTS_OF_ALL, SNAPSHOTS, BETWEEN = 10, 20, 10  # whose weights are matched, and after how many steps each
INNER, INNER_BATCH = 10, 32  # steps on the samples towards the next of those weights


class _Stateless:
    """An objective for one run without checkpoints."""

    def advance(self) -> None: ...

    def finish(self, samples: SyntheticSet) -> None: ...

    def state(self) -> dict[str, Any]:
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None: ...


class DistributionObjective(_Stateless):
    r"""Distance of mean features in random networks, :math:`\sum_a \|\bar\psi(D_a) - \bar\psi(\phi_a)\|^2`."""

    def __init__(self, config: GradientMatchingConfig, data: TransitionArrays, rng: np.random.Generator) -> None:
        self._theta, self._data, self._rng = RandomTheta(config, data, rng, "cpu:0"), data, rng
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
            learner = RandomTheta(config, data, rng, "cpu:0").learner
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


@dataclasses.dataclass(frozen=True)
class TriedConfig(GradientMatchingConfig):
    """The default preset with another objective."""

    objective: str = "distribution"

    def create_objective(
        self,
        data: TransitionArrays,
        samples: SyntheticSet,
        rng: np.random.Generator,
        device: str,
        weights: Mapping[str, torch.Tensor] | None,
    ) -> Objective:
        if self.objective == "augmented":
            theta = create_theta(self, data, rng, device, weights)
            return AugmentedObjective(self, theta, data, samples.actions, rng)
        return {"distribution": DistributionObjective, "trajectory": TrajectoryObjective}[self.objective](
            self, data, rng
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("objectives", nargs="+", choices=["distribution", "augmented", "trajectory"])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--own-frames", action="store_true", help="150 frames instead of ten shared ones")
    parser.add_argument("--student-steps", type=int, default=100)
    parser.add_argument("--student-batch", type=int, default=15)
    arguments = parser.parse_args()
    dataset = RecordedDataset.load(arguments.dataset)
    levels = ValidationLevels(dataset.game)
    budget = Budget(arguments.student_steps, arguments.student_batch)
    preset = default_matching()
    settings = {field.name: getattr(preset, field.name) for field in dataclasses.fields(preset)}
    if arguments.own_frames:
        settings["shared_observations"] = None
    for objective in arguments.objectives:
        distiller = TriedConfig(**settings, objective=objective).create()
        started = time.perf_counter()
        fitted = distiller.fit(dataset.buffer, arguments.steps, probabilities=dataset.step_probabilities)
        distilled = TransitionArrays.from_buffer(fitted)
        seconds = time.perf_counter() - started
        initial = TransitionArrays.from_buffer(distiller.initial)
        change = np.abs(distilled.observations.astype(np.float32) - initial.observations).mean()
        row = {**vars(arguments), "dataset": dataset.game, "objectives": objective}
        row |= {"seconds": round(seconds), "mean_pixel_change": round(float(change), 2)}
        for label, arrays in (("initial", initial), ("distilled", distilled)):
            students = [train(arrays, seed, budget) for seed in range(STUDENTS)]
            score = levels.score(students, preset.sharpness or 1.0)
            row |= {f"{label}_{key}": value for key, value in score.to_json().items()}
        print(json.dumps(row), flush=True)
