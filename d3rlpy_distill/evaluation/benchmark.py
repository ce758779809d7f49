"""Trains the students of every arm, plays them and fills the results file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..transitions import TransitionArrays
from .arms import Arm, BenchmarkConfig
from .players import MODES, SPLITS, Mode, Player, Policy, Split, StudentPolicy
from .results import ArmResult, Results
from .store import EvaluationStore
from .students import Progress, train_students

__all__ = ["play_policies", "run_benchmark"]


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
        entries += play_policies(name, [policy], None, player, config, store, progress)
    for arm in arms:
        students, data, seconds = train_students(arm, config, store, device, progress)
        entries += play_policies(
            arm.name, [StudentPolicy(s) for s in students], (data, seconds), player, config, store, progress
        )
    results = Results(game, protocol, provenance, entries)
    results.save(directory / "results.json")
    return results


def play_policies(
    name: str,
    policies: Sequence[Policy],
    training: tuple[TransitionArrays, float] | None,
    player: Player,
    config: BenchmarkConfig,
    store: EvaluationStore,
    progress: Progress,
) -> list[ArmResult]:
    """Plays an arm's policies on both splits in both modes, or takes what the store has.

    Args:
        name: The arm.
        policies: Its students, or one policy.
        training: The data of a student and the seconds that its training took; None for a policy.
        player: Plays them.
        config: Episodes and seed.
        store: Keeps the returns.
        progress: Told of every combination.
    """
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
