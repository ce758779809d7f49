"""Distils datasets that have nothing to do with Procgen, end to end: train, collect, distil, train students, play.

python benchmarks/gymnasium_tasks.py CartPole-v1 [--samples 10] [--learner bc] [--rewards learned] [--out tasks]

LunarLander-v3 needs ``pip install Box2D pygame``. A policy, trained with stable-baselines3 (extra ``experts``),
plays 100 episodes, which become a d3rlpy dataset; students (10 of each kind) play 20 episodes, greedily.
Everything but the students is kept in ``--out`` and taken from there the next time.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import structlog
import torch
from d3rlpy.dataset import ReplayBuffer

from d3rlpy_distill import (
    DistillationConfig,
    TransitionArrays,
    UnrolledMatchingConfig,
    learner_for,
    one_step_buffer,
    train_student,
    vector_matching,
)
from d3rlpy_distill.evaluation import difference_interval
from d3rlpy_distill.matching import LEARNERS, VECTOR_STEPS
from d3rlpy_distill.matching.synthetic import source_rewards
from procgen_datasets.hdf5 import EpisodeData, EpisodeWriter, Provenance, load_dataset

SEED = 0
EPISODES = 100
STUDENTS = 10
PLAYED = 20
STARTS = 20_000  # the settings were chosen on other starts, 10_000


@dataclasses.dataclass(frozen=True)
class Task:
    """How a task's policy is trained with stable-baselines3.

    Args:
        algorithm: ``"PPO"`` or ``"SAC"``.
        steps: Environment steps.
        settings: Arguments of the algorithm.
        envs: Environments at once.
    """

    algorithm: str
    steps: int
    settings: dict[str, Any]
    envs: int = 8


TASKS = {
    "CartPole-v1": Task("PPO", 100_000, {"n_steps": 32, "batch_size": 256, "n_epochs": 20, "gae_lambda": 0.8,
                                         "gamma": 0.98, "learning_rate": 1e-3}),
    "Acrobot-v1": Task("PPO", 200_000, {"n_steps": 256, "gae_lambda": 0.94, "n_epochs": 4}),
    "LunarLander-v3": Task("PPO", 1_000_000, {"n_steps": 1024, "batch_size": 256, "gae_lambda": 0.98,
                                              "gamma": 0.999, "n_epochs": 4, "ent_coef": 0.01}, envs=16),
    "Pendulum-v1": Task("SAC", 20_000, {"learning_rate": 1e-3}, envs=1),
}  # fmt: skip


def policy(name: str, directory: Path) -> Any:
    """Trains a policy, or takes the one that is kept."""
    import stable_baselines3
    from stable_baselines3.common.env_util import make_vec_env

    task = TASKS[name]
    algorithm = getattr(stable_baselines3, task.algorithm)
    path = directory / "policy.zip"
    if not path.exists():
        model = algorithm(
            "MlpPolicy", make_vec_env(name, task.envs, seed=SEED), seed=SEED, device="cpu", **task.settings
        )
        model.learn(task.steps)
        model.save(path)
    return algorithm.load(path, device="cpu")


def collect(name: str, directory: Path) -> ReplayBuffer:
    """Plays the policy and keeps the episodes as a d3rlpy file."""
    path = directory / "full.h5"
    env = gymnasium.make(name)
    if not path.exists():
        model = policy(name, directory)
        discrete = isinstance(env.action_space, gymnasium.spaces.Discrete)
        size = int(env.action_space.n) if discrete else int(np.prod(env.action_space.shape))
        with EpisodeWriter(
            path, Provenance("collected", name, size, "benchmarks/gymnasium_tasks.py", {})
        ) as writer:
            for i in range(EPISODES):
                writer.write(play_episode(env, model, seed=SEED + i))
    return load_dataset(path)[0]


def play_episode(env: gymnasium.Env[Any, Any], model: Any, *, seed: int) -> EpisodeData:
    """Plays one episode, actions as the policy prefers them."""
    observation, _ = env.reset(seed=seed)
    observations, actions, rewards, over, terminated = [], [], [], False, False
    while not over:
        action, _ = model.predict(observation, deterministic=True)
        observations.append(observation)
        actions.append(action)
        observation, reward, terminated, truncated, _ = env.step(action)
        rewards.append(reward)
        over = terminated or truncated
    discrete = isinstance(env.action_space, gymnasium.spaces.Discrete)
    return EpisodeData(
        np.array(observations, np.float32),
        np.array(actions, np.int32 if discrete else np.float32),
        np.array(rewards, np.float32),
        terminated,
    )


def play(name: str, student: Any) -> float:
    """Mean return over the same starts for every student, which the dataset does not have."""
    envs = gymnasium.make_vec(name, PLAYED, vectorization_mode="sync")
    observations, _ = envs.reset(seed=STARTS)
    returns, running = np.zeros(PLAYED), np.ones(PLAYED, bool)
    while running.any():
        actions = student.predict(np.asarray(observations, np.float32))
        observations, rewards, terminated, truncated, _ = envs.step(actions)
        returns += rewards * running
        running &= ~(terminated | truncated)
    return float(returns.mean())


def random_subset(data: TransitionArrays, matching: Any, rng: np.random.Generator) -> TransitionArrays:
    """Real transitions in the form of the synthetic ones: as many, with the rewards that those start from."""
    index = np.sort(rng.choice(len(data), matching.n_samples, replace=False))
    rewards = source_rewards(matching, data)[index]
    return TransitionArrays.from_buffer(
        one_step_buffer(data.observations[index], data.actions[index], rewards, data.action_size)
    )


def main(argv: Sequence[str]) -> dict[str, Any]:
    """Runs the command line ``argv`` and returns what it writes as JSON."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--steps", type=int, default=VECTOR_STEPS, help="of the distillation")
    parser.add_argument("--student-steps", type=int, default=2000)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--distance")
    parser.add_argument("--trajectory-length", type=int)
    parser.add_argument("--window", type=int, help="match a student unrolled through so many steps instead")
    parser.add_argument("--horizon", type=int, default=200)
    parser.add_argument("--learner", choices=LEARNERS, default="bc")
    parser.add_argument("--rewards", choices=["return_to_go", "learned"], default="return_to_go")
    parser.add_argument("--out", type=Path, default=Path("tasks"))
    arguments = parser.parse_args(argv)
    directory = arguments.out / arguments.task
    directory.mkdir(parents=True, exist_ok=True)
    dataset = collect(arguments.task, directory)
    data = TransitionArrays.from_buffer(dataset)
    config = learner_for(dataset, arguments.learner)
    matching: Any = vector_matching(config, n_samples=arguments.samples, seed=SEED)
    chosen = ("distance", "learning_rate", "trajectory_length", "rewards")
    changes = {name: getattr(arguments, name) for name in chosen if getattr(arguments, name) is not None}
    matching = dataclasses.replace(matching, **changes)
    if arguments.window is not None:
        shared = {f.name: getattr(matching, f.name) for f in dataclasses.fields(DistillationConfig)}
        matching = UnrolledMatchingConfig(**shared, window=arguments.window, horizon=arguments.horizon)
    distiller = matching.create()
    start = time.perf_counter()
    synthetic = TransitionArrays.from_buffer(distiller.fit(dataset, arguments.steps))
    seconds = time.perf_counter() - start
    arms: dict[str, Any] = {
        "full": lambda rng: data,
        f"random-{arguments.samples}": lambda rng: random_subset(data, matching, rng),
        f"distilled-{arguments.samples}": lambda rng: synthetic,
    }
    returns = {
        name: [
            play(
                arguments.task,
                train_student(config, arm(np.random.default_rng(i)), arguments.student_steps, seed=i),
            )
            for i in range(STUDENTS)
        ]
        for name, arm in arms.items()
    }
    policy_return = np.mean([episode.compute_return() for episode in dataset.episodes])
    print(
        f"{arguments.task}: {len(data)} transitions, mean return {policy_return:.1f}; distilled in {seconds:.0f} s"
    )
    for name, values in returns.items():
        print(f"{name:16} {np.mean(values):9.1f} ± {np.std(values, ddof=1):.1f}")
    ours, random = (np.array(returns[f"{k}-{arguments.samples}"])[:, None] for k in ("distilled", "random"))
    value, low, high = difference_interval(ours, random, np.random.default_rng(0))
    print(f"distilled - random: {value:+.1f} [{low:+.1f}, {high:+.1f}]")
    flags = list(argv)
    if "--out" in flags:  # where the files lay decides nothing
        del flags[flags.index("--out") : flags.index("--out") + 2]
    record = {
        "task": arguments.task,
        "objective": "unrolled" if arguments.window is not None else "gradient",
        "learner": arguments.learner,
        "rewards": arguments.rewards,
        "samples": arguments.samples,
        "transitions": len(data),
        "policy_return": float(policy_return),
        "student_steps": arguments.student_steps,
        "command": shlex.join(["python", "benchmarks/gymnasium_tasks.py", *flags]),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "seconds": seconds,
        "returns": {name.removesuffix(f"-{arguments.samples}"): values for name, values in returns.items()},
    }
    name = "-".join(str(record[key]) for key in ("task", "objective", "learner", "rewards", "samples"))
    (arguments.out / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    return record


if __name__ == "__main__":
    main(sys.argv[1:])
