"""What a training leaves behind: the policy, and a JSON card that says what it is."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..data import package_versions
from ..files import appears_atomically, write_document
from ..machine import describe_machine
from .base import Task, TrainedPolicy
from .gymnasium_policies import file_sha256, sb3_policy
from .gymnasium_training import TrainingRun

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

__all__ = ["export"]

POLICY = "policy.zip"
SPLITS = ("train", "test")


def export(
    task: Task,
    run: TrainingRun,
    model: BaseAlgorithm,
    steps: int,
    finished: bool,
    directory: Path,
    episodes: int,
) -> TrainedPolicy:
    """Writes ``policy.zip`` and, after playing it on training and on new starts, ``policy.json``.

    Args:
        task: What it was trained on.
        run: How.
        model: The result.
        steps: Environment steps that it was trained for.
        finished: Whether they are all that was asked for.
        directory: Where to write.
        episodes: Episodes for each return.
    """
    path = directory / POLICY
    path.with_suffix(".json").unlink(missing_ok=True)  # it describes the policy that was there
    with appears_atomically(path, overwrite=True) as partial, partial.open("wb") as file:
        model.save(file)
    policy = sb3_policy(model.policy)
    returns = {
        split: {
            mode: _summary(task.play([policy], split=split, mode=mode, episodes=episodes, seed=run.seed)[0])
            for mode in task.modes
        }
        for split in SPLITS
    }
    card = {
        **run.identity(),
        "environment_steps": steps,
        "finished": finished,
        "returns": returns,
        "sha256": file_sha256(path),
        "machine": describe_machine(),
        "packages": {
            **package_versions(),
            **task.versions(),
            "stable-baselines3": importlib.metadata.version("stable-baselines3"),
        },
    }
    write_document(path.with_suffix(".json"), card, overwrite=True)
    return TrainedPolicy(path, steps, {split: float(of[task.modes[0]]["mean"]) for split, of in returns.items()})


def _summary(returns: npt.NDArray[np.float64]) -> dict[str, float | int]:
    return {
        "mean": float(returns.mean()),
        "std": float(returns.std(ddof=1)) if len(returns) > 1 else 0.0,
        "n": len(returns),
    }
