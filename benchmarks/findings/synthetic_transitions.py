"""Would synthetic transitions (s, a, r, s') serve Q-learners better than one-step episodes with return-to-go?

Both observations of a transition are moved, so that the learner's bootstrapped loss, with its target network,
has the gradient there that it has on real transitions. For comparison, the form that the library uses: terminal
samples against terminal real transitions. Gradients are taken along students of the real data; printed is the
mean return of 10 students of 2000 steps before (random samples) and after, 20 episodes each.
Run: ``python -m benchmarks.findings.synthetic_transitions data/cartpole.h5 --learner cql --form transition`` on a
file of ``rld-distill collect gym/CartPole-v1``."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
import torch
from d3rlpy.algos import DiscreteCQL, DoubleDQN
from d3rlpy.torch_utility import TorchMiniBatch

from d3rlpy_distill import GradientMatchingConfig, OfflineDataset, Student, Task, TransitionArrays, make_task
from d3rlpy_distill.catalogue import STUDENTS
from d3rlpy_distill.data.allocation import allocate, draw_per_action
from d3rlpy_distill.learners.gradients import real_gradient
from d3rlpy_distill.learners.learner import Learner, LearnerConfig, learner_network, scale
from d3rlpy_distill.learners.training import train_learner
from d3rlpy_distill.methods.distance import squared_error
from d3rlpy_distill.methods.synthetic import as_monte_carlo, source_rewards

N_STUDENTS, EPISODES, SEED = 10, 20, 0


class Transitions:
    """M transitions in units of the features' deviations.

    Args:
        data: The real data.
        index: Those to start from, ``(M,)``.
    """

    def __init__(self, data: TransitionArrays, index: np.ndarray) -> None:
        self._data, self._index = data, index
        self._unit = torch.from_numpy(data.observations.std(0))
        self.here = (torch.from_numpy(data.observations[index]) / self._unit).requires_grad_()
        self.next = (torch.from_numpy(data.next_observations(index)) / self._unit).requires_grad_()

    def gradient(self, learner: Learner) -> list[torch.Tensor]:
        """Of the learner's loss, differentiable in both observations."""
        data, index, impl = self._data, self._index, learner.impl
        x, following = (scale(learner, values * self._unit) for values in (self.here, self.next))
        rewards, terminals = (
            torch.from_numpy(v[index].astype(np.float32))[:, None] for v in (data.rewards, data.terminals)
        )
        actions = torch.from_numpy(data.actions[index])[:, None]
        batch = TorchMiniBatch(
            observations=x,
            actions=actions,
            rewards=rewards,
            next_observations=following,
            next_actions=actions,
            returns_to_go=torch.zeros_like(rewards),
            terminals=terminals,
            intervals=torch.ones_like(rewards),
            device=impl.device,
        )
        # d3rlpy's target is computed without gradients; here it is a function of the next observation
        forwarder = impl._targ_q_func_forwarder
        chooses = impl._q_func_forwarder if isinstance(learner, (DoubleDQN, DiscreteCQL)) else forwarder
        best = chooses.compute_expected_q(following).argmax(1)
        target = forwarder.compute_target(following, best, reduction="min")
        loss = impl.compute_loss(batch, target).loss
        return list(torch.autograd.grad(loss, list(learner_network(learner).parameters()), create_graph=True))

    def to_arrays(self) -> TransitionArrays:
        """As a student reads them: each its own episode, cut off after its step unless it ends there."""
        data, index = self._data, self._index
        here, following = ((x * self._unit).detach().numpy() for x in (self.here, self.next))
        return dataclasses.replace(
            data,
            observations=here,
            actions=data.actions[index],
            rewards=data.rewards[index],
            terminals=data.terminals[index],
            returns_to_go=data.rewards[index],
            episodes=np.arange(len(index)),
            steps=np.zeros(len(index), np.int64),
            last_observations=following[~data.terminals[index]],
        )


def random_start(data: TransitionArrays, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    return draw_per_action(data.actions, allocate(n_samples, data.action_counts(), "frequency"), rng)


def returns(
    task: Task, student: Student, config: LearnerConfig, data: TransitionArrays, steps: int
) -> dict[str, float]:
    """Mean and deviation over students, which are trained on arrays: their own ``fit`` takes terminal samples."""
    learners = [train_learner(config, data, steps, seed=i) for i in range(N_STUDENTS)]
    policies = [student.policy(learner, 0.0) for learner in learners]
    values = task.play(policies, split=task.default_splits[0], mode="greedy", episodes=EPISODES, seed=SEED).mean(1)
    return {"mean": round(float(values.mean()), 1), "std": round(float(values.std(ddof=1)), 1)}


def matched(
    samples: Transitions, method: GradientMatchingConfig, data: TransitionArrays, rng: np.random.Generator
) -> None:
    """Moves the samples."""
    theta = method.create_theta(data, rng, "cpu:0")
    optimizer = torch.optim.Adam([samples.here, samples.next], method.learning_rate, betas=(0.9, 0.999))
    for _ in range(method.total_steps):
        real = real_gradient(theta.learner, data, rng.integers(len(data), size=method.real_batch_size))
        optimizer.zero_grad()
        squared_error(real, samples.gradient(theta.learner)).backward(inputs=[samples.here, samples.next])
        optimizer.step()
        theta.advance()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--learner", choices=["dqn", "cql"], default="cql")
    parser.add_argument("--form", choices=["transition", "terminal"], default="transition")
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--student-steps", type=int, default=2000)
    parser.add_argument("--trajectory-length", type=int, default=200)
    parser.add_argument("--trajectory-stride", type=int, default=1)
    arguments = parser.parse_args()
    dataset = OfflineDataset.load(arguments.dataset)
    if dataset.task is None:
        parser.error(f"{arguments.dataset} does not record its task: make one with 'rld-distill collect gym/ID'.")
    task, student = make_task(dataset.task), STUDENTS.get(arguments.learner)()
    settings = {
        "steps": arguments.steps,
        "trajectory_length": arguments.trajectory_length,
        "trajectory_stride": arguments.trajectory_stride,
    }
    method = GradientMatchingConfig.preset(dataset, student, settings=settings)
    data, rng = dataset.transitions, np.random.default_rng(SEED)
    if arguments.form == "terminal":
        data = as_monte_carlo(data, source_rewards(method.learner, data))
    samples = Transitions(data, random_start(data, arguments.samples, rng))
    score = {"random": returns(task, student, method.learner, samples.to_arrays(), arguments.student_steps)}
    matched(samples, method, data, rng)
    score["matched"] = returns(task, student, method.learner, samples.to_arrays(), arguments.student_steps)
    given = {k: v for k, v in vars(arguments).items() if k != "dataset"}
    print(json.dumps({"task": task.name, **given, **score}))


if __name__ == "__main__":
    main()
