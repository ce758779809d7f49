"""The table algorithm x dataset: what else than behaviour cloning learns from a synthetic set."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from d3rlpy.dataset import ReplayBuffer

from ..learner import build_learner
from ..presets import Budget
from ..selection import PercentileSelector, RandomSelector
from ..transitions import TransitionArrays
from .algorithms import ALGORITHMS, Algorithm, fit_stock, load_networks, networks
from .arms import BenchmarkConfig
from .benchmark import play_policies
from .players import Player, Policy
from .results import ArmResult, Results
from .store import EvaluationStore
from .students import Progress, student_seeds

__all__ = ["algorithm_arm", "dataset_names", "run_algorithms"]

PERCENT = 10


@dataclasses.dataclass(frozen=True)
class _Dataset:
    draw: Callable[[np.random.Generator], ReplayBuffer]
    budget: Budget


def dataset_names(n_samples: int) -> list[str]:
    """Returns the datasets that every algorithm is trained on."""
    return ["full", f"percentile-{PERCENT}", f"random-{n_samples}", f"distilled-{n_samples}"]


def algorithm_arm(algorithm: str, dataset: str) -> str:
    """Returns the name of an arm, for example ``"cql-distilled-150"``."""
    return f"{algorithm}-{dataset}"


def run_algorithms(
    game: str,
    names: Sequence[str],
    real: ReplayBuffer,
    distilled: ReplayBuffer,
    policies: Mapping[str, Policy],
    player: Player,
    config: BenchmarkConfig,
    directory: Path,
    *,
    identity: dict[str, Any],
    provenance: dict[str, Any],
    device: str = "cpu:0",
    progress: Progress = lambda what, done, total: None,
) -> Results:
    """Trains every algorithm on every dataset with d3rlpy's own ``fit`` and plays the students.

    On the real data algorithms get its transitions; on small sets, one-step terminal episodes whose reward is the
    return-to-go (the decision transformer gets that form everywhere). Run again, it goes on where it stopped.

    Args:
        game: Name of the game.
        names: Keys of :data:`~.algorithms.ALGORITHMS`.
        real: The dataset that was distilled.
        distilled: The synthetic set.
        policies: Arms that train nothing, by name.
        player: Plays them.
        config: Numbers of students and episodes, budgets, seed.
        directory: Keeps students, returns and, in the end, ``results.json``.
        identity: What else decides the results.
        provenance: What to record beside them.
        device: torch device for training.
        progress: Told of every step.

    Raises:
        CheckpointError: If the directory holds another evaluation.
    """
    datasets = _datasets(real, distilled, config)
    protocol = {**dataclasses.asdict(config), "algorithms": list(names), "datasets": list(datasets), **identity}
    del protocol["convergence"]
    store = EvaluationStore(directory, {"game": game, **protocol})
    entries: list[ArmResult] = []
    for name, policy in policies.items():
        entries += play_policies(name, [policy], None, player, config, store, progress)
    for name in names:
        for dataset, source in datasets.items():
            arm = algorithm_arm(name, dataset)
            students, data, seconds = _train(arm, ALGORITHMS[name], source, config, store, device, progress)
            entries += play_policies(arm, students, (data, seconds), player, config, store, progress)
    results = Results(game, protocol, provenance, entries)
    results.save(directory / "results.json")
    return results


def _datasets(real: ReplayBuffer, distilled: ReplayBuffer, config: BenchmarkConfig) -> dict[str, _Dataset]:
    n = distilled.transition_count
    percentile, random = PercentileSelector(PERCENT), RandomSelector(n)
    draws: list[tuple[Callable[[np.random.Generator], ReplayBuffer], Budget]] = [
        (lambda rng: real, config.bc),
        (lambda rng: percentile.select(real, rng), config.bc),
        (lambda rng: random.select(real, rng), config.synthetic),
        (lambda rng: distilled, config.synthetic),
    ]
    return {name: _Dataset(*draw) for name, draw in zip(dataset_names(n), draws, strict=True)}


def _train(
    arm: str,
    algorithm: Algorithm,
    source: _Dataset,
    config: BenchmarkConfig,
    store: EvaluationStore,
    device: str,
    progress: Progress,
) -> tuple[list[Policy], TransitionArrays, float]:
    """Returns an arm's students as policies, the data of the last one, and the mean seconds to train one."""
    policies: list[Policy] = []
    seconds = []
    budget = source.budget
    for i in range(config.students):
        data_seed, student_seed = student_seeds(config, arm, i)
        buffer = source.draw(np.random.default_rng(data_seed))
        data = TransitionArrays.from_buffer(buffer)
        if algorithm.one_step:
            buffer = data.take(np.arange(len(data)))
        known = store.load_student(arm, i)
        if known is None:
            what = f"training {arm} {i + 1}/{config.students}"
            start = time.perf_counter()
            learner = fit_stock(
                algorithm.config(budget),
                buffer,
                data.observations.shape[1:],
                budget.n_steps,
                seed=student_seed,
                device=device,
                on_step=lambda step, what=what: progress(what, step, budget.n_steps),  # type: ignore[misc]
            )
            record = {"train_seconds": time.perf_counter() - start, "steps": float(budget.n_steps)}
            store.save_student(arm, i, networks(learner), record)
        else:
            weights, record = known
            learner = build_learner(
                algorithm.config(budget),
                data.observations.shape[1:],
                data.action_size,
                seed=student_seed,
                device=device,
            )
            load_networks(learner, weights)
        policies.append(algorithm.policy(learner, data))
        seconds.append(record["train_seconds"])
    return policies, data, float(np.mean(seconds))
