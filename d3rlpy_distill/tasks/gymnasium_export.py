"""What a training leaves behind: policies, JSON cards that say what they are, and what was played on the way."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from ..data import package_versions
from ..files import appears_atomically, write_document
from ..machine import describe_machine
from ..policies import Policy
from .base import Task, TrainedPolicy
from .gymnasium_actor import load_actor, save_actor
from .gymnasium_policies import file_sha256, sb3_policy
from .gymnasium_replay_data import Memory, write_replay
from .gymnasium_snapshots import best, nearest
from .gymnasium_training import Trained, TrainingRun

if TYPE_CHECKING:
    from .gymnasium_sac import CapturedSac

__all__ = ["export", "export_medium"]

POLICY, ACTOR = "policy.zip", "policy.safetensors"
MEDIUM, MEDIUM_REPLAY = "medium.safetensors", "medium-replay.h5"
SPLITS = ("train", "test")
SHARE = 1 / 3  # of the way from random play to the expert, as in d4rl
REPLAYED = 102_000  # steps at least: some are no transitions, the last ones of episodes that were cut


def export(
    task: Task,
    run: TrainingRun,
    trained: Trained,
    directory: Path,
    episodes: int,
    evaluate: Callable[[Policy], float],
) -> TrainedPolicy:
    """Writes the policy and, after playing it on training and on new starts, its card.

    They are ``policy.safetensors`` and ``policy.json`` of SAC on vectors, ``policy.zip`` and ``policy.json`` otherwise.
    What SAC returns rises and falls: its policy is the best of its snapshots on validation starts, if that returns more
    than the last one.

    Args:
        task: What it was trained on.
        run: How.
        trained: The result.
        directory: Where to write.
        episodes: Episodes for each return.
        evaluate: Returns a policy's mean return from validation starts.
    """
    model, path, steps = trained.model, directory / (ACTOR if run.keeps_actor else POLICY), trained.steps
    path.with_suffix(".json").unlink(missing_ok=True)  # it describes the policy that was there
    policy: Policy
    if trained.snapshots is not None:
        weights = cast("CapturedSac", model).actor_weights(critic=True)
        save_actor(path, weights, run.actions.low, run.actions.high, overwrite=True)
        policy, kept = load_actor(path), trained.snapshots.kept
        if kept and best(kept).validation_return > evaluate(policy):
            steps = best(kept).steps
            with appears_atomically(path, overwrite=True) as partial:
                shutil.copyfile(trained.snapshots.path(steps), partial)
            policy = load_actor(path)
    else:
        with appears_atomically(path, overwrite=True) as partial, partial.open("wb") as file:
            model.save(file)
        policy = sb3_policy(model.policy)
    about = {"environment_steps": steps, "finished": trained.finished, "trained_steps": trained.steps}
    return _with_card(task, run, path, policy, about, episodes)


def export_medium(
    task: Task,
    run: TrainingRun,
    trained: Trained,
    directory: Path,
    episodes: int,
    evaluate: Callable[[Policy], float],
) -> list[TrainedPolicy]:
    """Writes the medium policy with its card, and what was played until then as a dataset.

    The medium policy is the snapshot whose validation return is nearest to that of random play and a third of the way
    to the exported policy's. The dataset is of the memory up to that snapshot or of 100,000 transitions, if these
    are more: episodes evenly spread over it, which hold about so many.

    Args: those of :func:`export`.
        evaluate: Returns a policy's mean return from validation starts.

    Returns:
        The medium policy; none if there is no snapshot but the last policy.
    """
    sac, steps, snapshots = cast("CapturedSac", trained.model), trained.steps, trained.snapshots
    earlier = [] if snapshots is None else [one for one in snapshots.kept if one.steps < steps]
    if snapshots is None or not earlier:
        return []
    random, expert = evaluate(task.random_policy()), evaluate(load_actor(directory / ACTOR))
    medium = nearest(earlier, random + SHARE * (expert - random))
    path = directory / MEDIUM
    path.with_suffix(".json").unlink(missing_ok=True)
    with appears_atomically(path, overwrite=True) as partial:
        shutil.copyfile(snapshots.path(medium.steps), partial)
    about = {"environment_steps": medium.steps, "finished": trained.finished, "expert_steps": steps}
    buffer = sac.replay_buffer
    if not buffer.full:  # else its first part is forgotten
        columns = {name: getattr(buffer, name)[: buffer.pos] for name in Memory.__dataclass_fields__}
        memory = Memory(**columns).first(max(medium.steps, REPLAYED))
        (directory / MEDIUM_REPLAY).unlink(missing_ok=True)
        settings = {
            **task.identity(["train"]),
            "versions": task.versions(),
            "training": run.identity(),
            "environment_steps": memory.rewards.size,
            "machine": describe_machine(),
        }
        command = f"rld-distill train-expert {task.name} --steps {steps} --seed {run.seed}"
        write_replay(directory / MEDIUM_REPLAY, memory, run.actions, task.name, command, settings, steps=REPLAYED)
    return [_with_card(task, run, path, load_actor(path), about, episodes)]


def _with_card(
    task: Task, run: TrainingRun, path: Path, policy: Policy, about: Mapping[str, Any], episodes: int
) -> TrainedPolicy:
    returns = {
        split: {
            mode: _summary(task.play([policy], split=split, mode=mode, episodes=episodes, seed=run.seed)[0])
            for mode in task.modes
        }
        for split in SPLITS
    }
    card = {
        **run.identity(),
        **about,
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
    steps = int(about["environment_steps"])
    return TrainedPolicy(path, steps, {split: float(of[task.modes[0]]["mean"]) for split, of in returns.items()})


def _summary(returns: npt.NDArray[np.float64]) -> dict[str, float | int]:
    return {
        "mean": float(returns.mean()),
        "std": float(returns.std(ddof=1)) if len(returns) > 1 else 0.0,
        "n": len(returns),
    }
