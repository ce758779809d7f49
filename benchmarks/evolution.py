"""Behaviour distillation without data, by evolution strategies: what it costs in steps of the environment.

The samples are a population's mean (HaDES, arXiv 2406.15042). Each member of the population is a set of observations
and of labels, in the form of logits; students of it play, and their return is its fitness. Members come in mirrored
pairs, their fitness is their rank, and the mean follows its gradient by Adam (OpenAI-ES, arXiv 1703.03864). All
students of a generation start from the same weights, other ones in each. Nothing is known of the task but what random
play sees: the scale of its observations.

Run: ``python -m benchmarks.evolution gym/CartPole-v1 --samples 10``
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from d3rlpy_distill import Budget, DistillError, OfflineDataset, TransitionArrays
from d3rlpy_distill.catalogue import STUDENTS
from d3rlpy_distill.learners.together import train_together
from d3rlpy_distill.policies import DiscretePolicy
from d3rlpy_distill.students.cloning import ImitatorPolicy
from d3rlpy_distill.tasks import Task, make_task

RANDOM_EPISODES = 20
BUDGET = Budget(300, 10)


@dataclasses.dataclass(frozen=True)
class Evolution:
    """How samples evolve.

    Args:
        samples: M.
        population: Members of a generation, an even number.
        generations: How many.
        deviation: Standard deviation of members around the mean, in deviations of the observations.
        learning_rate: Adam's, of the mean.
        episodes: Episodes that a member's students play.
        budget: For how long they train.
        seed: Fixes everything random.
    """

    samples: int
    population: int = 16
    generations: int = 50
    deviation: float = 0.3
    learning_rate: float = 0.1
    episodes: int = 4
    budget: Budget = BUDGET
    seed: int = 0


class Counted:
    """A policy of discrete actions that counts what it is asked, which is a step of an environment each."""

    def __init__(self, policy: DiscretePolicy) -> None:
        self._policy, self.steps = policy, 0

    def logits(self, observations: torch.Tensor) -> torch.Tensor:
        self.steps += len(observations)
        return self._policy.logits(observations)


class Population:
    """A mean set that evolves on a task.

    Args:
        task: A task of vectors and discrete actions.
        config: How.
    """

    def __init__(self, task: Task, config: Evolution) -> None:
        self._task, self._config = task, config
        self._rng = np.random.default_rng(config.seed)
        self._dataset, self.steps = _random_play(task, config.seed)
        seen = self._dataset.transitions.observations
        self._center, self._scale = seen.mean(0), seen.std(0) + 1e-6
        self._learner = STUDENTS.get("mlp")().learner(self._dataset, config.budget)
        size = int(np.prod(task.observation_shape)) + task.action_size
        self.mean = torch.from_numpy(self._rng.normal(size=(config.samples, size))).requires_grad_()
        self._optimizer = torch.optim.Adam([self.mean], config.learning_rate)

    def advance(self, generation: int) -> float:
        """Evolves by a generation and returns the mean return of its members."""
        config, half = self._config, self._config.population // 2
        noise = self._rng.normal(size=(half, *self.mean.shape))
        offsets = config.deviation * np.concatenate([noise, -noise])
        returns = self.play(self.mean.detach().numpy() + offsets, "train", generation, config.episodes)
        ranks = returns.mean(1).argsort().argsort() / (config.population - 1) - 0.5
        gradient = np.tensordot(ranks, offsets, 1) / (config.population * config.deviation**2)
        self.mean.grad = torch.from_numpy(-gradient)
        self._optimizer.step()
        return float(returns.mean())

    def play(
        self, members: npt.NDArray[np.float64], split: str, seed: int, episodes: int, students: int = 1
    ) -> npt.NDArray[np.float64]:
        """Returns the returns of each member's students, ``(P * students, episodes)``."""
        sets = [self._samples(member) for member in members for _ in range(students)]
        seeds = [seed * students + k for _ in members for k in range(students)]
        learners = train_together(self._learner, sets, self._config.budget.n_steps, seeds=seeds)
        policies = [Counted(ImitatorPolicy(learner)) for learner in learners]
        returns = self._task.play(policies, split=split, mode="greedy", episodes=episodes, seed=seed)
        self.steps += sum(policy.steps for policy in policies)
        return returns

    def _samples(self, member: npt.NDArray[np.float64]) -> TransitionArrays:
        size, count = int(np.prod(self._task.observation_shape)), len(member)
        observations = (member[:, :size] * self._scale + self._center).astype(np.float32)
        labels = torch.softmax(torch.from_numpy(member[:, size:]), 1).float().numpy()
        return TransitionArrays.one_step(
            observations, labels.argmax(1), np.zeros(count), self._task.action_size, labels
        )


def _random_play(task: Task, seed: int) -> tuple[OfflineDataset, int]:
    """A dataset of random play, and its steps."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.h5"
        task.collect(task.collect_settings(policy="random", episodes=RANDOM_EPISODES, seed=seed), path)
        dataset = OfflineDataset.load(path)
        return dataset, sum(episode.size() for episode in dataset.buffer.episodes)


def evolve(task: Task, config: Evolution, every: int) -> dict[str, Any]:
    """Evolves, and says every so many generations what five students of the mean return on new starts."""
    start, population, said = time.perf_counter(), Population(task, config), []
    for generation in range(config.generations):
        value = population.advance(generation)
        print(f"generation {generation + 1}: {value:.1f}, {population.steps:,} steps", file=sys.stderr)
        if (generation + 1) % every == 0:
            steps, seconds = population.steps, time.perf_counter() - start
            returns = population.play(population.mean.detach().numpy()[None], "validation", 0, 20, students=5)
            population.steps = steps  # to look costs nothing
            said.append({"steps": steps, "seconds": round(seconds), "return": float(returns.mean())})
            print(f"{steps:,} steps, {seconds:.0f} s: {returns.mean():.1f} on validation starts", file=sys.stderr)
    steps = population.steps
    returns = population.play(population.mean.detach().numpy()[None], "test", 0, 20, students=5)
    students = returns.mean(1)
    return {
        "task": task.name,
        "samples": config.samples,
        "steps": steps,
        "seconds": round(time.perf_counter() - start),
        "return": float(students.mean()),
        "std": float(students.std()),
        "curve": said,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", help="a task of vectors and discrete actions, for example gym/CartPole-v1")
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--population", type=int, default=Evolution.population)
    parser.add_argument("--generations", type=int, default=Evolution.generations)
    parser.add_argument("--episodes", type=int, default=Evolution.episodes)
    parser.add_argument("--deviation", type=float, default=Evolution.deviation)
    parser.add_argument("--learning-rate", type=float, default=Evolution.learning_rate)
    parser.add_argument("--steps", type=int, default=BUDGET.n_steps, help="of a student")
    parser.add_argument("--batch-size", type=int, default=BUDGET.batch_size, help="of a student")
    parser.add_argument("--every", type=int, default=10, help="generations between two looks")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    if given.population < 2 or given.population % 2:
        parser.error(
            f"--population {given.population}: expected an even number, as members come in mirrored pairs."
        )
    config = Evolution(
        given.samples,
        given.population,
        given.generations,
        given.deviation,
        given.learning_rate,
        given.episodes,
        Budget(given.steps, given.batch_size),
        given.seed,
    )
    try:
        task = make_task(given.task)
        if not task.discrete or len(task.observation_shape) != 1:
            parser.error(
                f"{given.task}: expected a task of vectors and discrete actions, such as gym/CartPole-v1."
            )
        print(json.dumps(evolve(task, config, given.every)))
    except DistillError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
