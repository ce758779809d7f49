"""Trains the students of every arm, plays them and fills the results file."""

from __future__ import annotations

import dataclasses
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from d3rlpy.algos import DiscreteBC

from ..learner import build_learner, learner_network
from ..presets import paper_student
from ..training import train_student, train_to_convergence
from ..transitions import TransitionArrays
from .arms import Arm, BenchmarkConfig
from .players import MODES, SPLITS, Mode, Player, Policy, Split, StudentPolicy
from .results import ArmResult, Results
from .store import EvaluationStore

__all__ = ["Progress", "run_benchmark"]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def run_benchmark(
    game: str,
    arms: Sequence[Arm],
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
    """Evaluates arms and policies; run again into the same directory, it goes on where it stopped.

    Args:
        game: Name of the game.
        arms: Arms that train students.
        policies: Arms that do not, by name.
        player: Plays them.
        config: Numbers of students and episodes, budgets, seed.
        directory: Keeps students, returns and, in the end, ``results.json``.
        identity: What else decides the results: the datasets' hashes, the levels.
        provenance: What to record beside them.
        device: torch device for training.
        progress: Told of every step.

    Returns:
        The results, policies first, then arms, each on both splits and in both modes.

    Raises:
        CheckpointError: If the directory holds another evaluation.
    """
    protocol = {**dataclasses.asdict(config), **identity}
    store = EvaluationStore(directory, {"game": game, **protocol})
    entries: list[ArmResult] = []
    for name, policy in policies.items():
        entries += _play(name, [policy], None, player, config, store, progress)
    for arm in arms:
        students, data, seconds = _train(arm, config, store, device, progress)
        entries += _play(
            arm.name, [StudentPolicy(s) for s in students], (data, seconds), player, config, store, progress
        )
    results = Results(game, protocol, provenance, entries)
    results.save(directory / "results.json")
    return results


def _student_seed(config: BenchmarkConfig, arm: str, i: int) -> np.random.SeedSequence:
    return np.random.SeedSequence((config.seed, zlib.crc32(arm.encode()), i))


def _train(
    arm: Arm, config: BenchmarkConfig, store: EvaluationStore, device: str, progress: Progress
) -> tuple[list[DiscreteBC], TransitionArrays, float]:
    students, seconds = [], []
    data = None
    for i in range(config.students):
        subset_seed, student_seed = _student_seed(config, arm.name, i).generate_state(2)
        known = store.load_student(arm.name, i)
        if data is None or known is None:
            data = arm.data(np.random.default_rng(subset_seed))
        learner_config = paper_student(arm.budget or config.bc)
        if known is not None:
            weights, record = known
            student = build_learner(
                learner_config,
                data.observations.shape[1:],
                data.action_size,
                seed=int(student_seed),
                device=device,
            )
            learner_network(student).load_state_dict(weights)
        else:
            steps_left = arm.budget.n_steps if arm.budget else config.convergence.steps
            done = [0]

            def on_step(done: list[int] = done, i: int = i, total: int = steps_left) -> None:
                done[0] += 1
                if done[0] % 10 == 0:
                    progress(f"training {arm.name} student {i + 1}/{config.students}", done[0], total)

            start = time.perf_counter()
            if arm.budget is not None:
                steps = arm.budget.n_steps
                student = train_student(
                    learner_config, data, steps, seed=int(student_seed), device=device, on_step=on_step
                )
            else:
                student, steps = train_to_convergence(
                    learner_config,
                    data,
                    config.convergence,
                    seed=int(student_seed),
                    device=device,
                    on_step=on_step,
                )
            record = {"train_seconds": time.perf_counter() - start, "steps": steps}
            store.save_student(arm.name, i, learner_network(student).state_dict(), record)
        students.append(student)
        seconds.append(record["train_seconds"])
    assert data is not None
    return students, data, float(np.mean(seconds))


def _play(
    name: str,
    policies: Sequence[Policy],
    training: tuple[TransitionArrays, float] | None,
    player: Player,
    config: BenchmarkConfig,
    store: EvaluationStore,
    progress: Progress,
) -> list[ArmResult]:
    entries = []
    combinations: list[tuple[Split, Mode]] = [(split, mode) for split in SPLITS for mode in MODES]
    for n, (split, mode) in enumerate(combinations):
        progress(f"playing {name}, {split}, {mode}", n, len(combinations))
        returns = store.load_returns(name, split, mode)
        if returns is None:
            returns = player.play(policies, split=split, mode=mode)
            store.save_returns(name, split, mode, returns)
        data, seconds = training if training is not None else (None, 0.0)
        entries.append(
            ArmResult.from_returns(
                name,
                split,
                mode,
                returns,
                normalised=player.normalise(float(returns.mean())),
                samples=len(data) if data is not None else 0,
                n_bytes=_bytes(data) if data is not None else 0,
                train_seconds=seconds,
                seed=config.seed,
            )
        )
    return entries


def _bytes(data: TransitionArrays) -> int:
    return int(data.observations.nbytes + 4 * len(data) + 4 * len(data))
