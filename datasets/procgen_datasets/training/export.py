"""Turns weights into an expert that others load: safetensors, and a card that says what it is."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from d3rlpy_distill.files import appears_atomically, load_tensors, save_tensors, write_document

from ..expert import Expert, load_expert
from ..games import ALL_LEVELS, Levels
from ..player import ProcgenPlayer
from .card import card_markdown
from .config import TrainExpertConfig
from .curve import CurvePoint, snapshot_path
from .run import TrainResult

__all__ = ["export_expert", "export_run"]

CARD_EPISODES = 200


def export_run(
    config: TrainExpertConfig,
    directory: str | Path,
    result: TrainResult,
    *,
    machine: str,
    device: str = "cpu:0",
    episodes: int = CARD_EPISODES,
    on_episode: Callable[[], None] | None = None,
) -> list[Path]:
    """Exports a run's last policy as ``GAME`` and, if a snapshot fits, a mid-training one as ``GAME-medium``.

    The medium policy is the snapshot whose return on the training levels was nearest to half of the last one's.

    Returns:
        The safetensors files.
    """
    directory = Path(directory)
    experts = {config.game: (result.weights, result.steps)}
    medium = _medium_steps(directory, result.curve)
    if medium is not None:
        experts[f"{config.game}-medium"] = (
            load_tensors(snapshot_path(directory, medium), unsealed=True)[0],
            medium,
        )
    paths = []
    for name, (weights, steps) in experts.items():
        card = {
            "game": config.game,
            "architecture": config.architecture,
            "algorithm": f"{'PPG on one network' if config.phase else 'PPO'} (stable-baselines3)",
            "environment_steps": result.initial_steps + steps,
            "initial": {"expert": config.init, "environment_steps": result.initial_steps} if config.init else None,
            "levels": dataclasses.asdict(config.levels),
            "distribution_mode": config.mode,
            "seed": config.seed,
            "settings": _settings(config),
            "machine": machine,
            "training_seconds": next((point.seconds for point in result.curve if point.steps == steps), 0.0),
            "learning_curve": _evaluated(result.curve, steps),
        }
        paths.append(export_expert(directory / f"{name}.safetensors", weights, card, device, episodes, on_episode))
    return paths


def export_expert(
    path: Path,
    weights: Mapping[str, torch.Tensor],
    card: Mapping[str, Any],
    device: str = "cpu:0",
    episodes: int = CARD_EPISODES,
    on_episode: Callable[[], None] | None = None,
) -> Path:
    """Writes an expert with its JSON and Markdown cards, after playing it on training and on unseen levels.

    Args:
        path: The safetensors file; the cards get its stem.
        weights: The network's.
        card: What is known of the training; ``game``, ``levels``, ``distribution_mode`` and ``seed`` are read.
        device: torch device to play on.
        episodes: Episodes on each of the two sets of levels, for sampled and for greedy actions.
        on_episode: Called after each, for progress.
    """
    path.with_suffix(".json").unlink(missing_ok=True)  # it describes the weights that were there
    save_tensors(path, weights, overwrite=True)
    full = dict(card) | {
        "returns": _returns(load_expert(path, device=device), card, episodes, on_episode),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    write_document(path.with_suffix(".json"), full, overwrite=True)
    with appears_atomically(path.with_suffix(".md"), overwrite=True) as partial:
        partial.write_text(card_markdown(path.stem, full))
    return path


def _returns(
    expert: Expert, card: Mapping[str, Any], episodes: int, on_episode: Callable[[], None] | None
) -> dict[str, dict[str, dict[str, float | int]]]:
    player = ProcgenPlayer(
        card["game"],
        {"train": Levels(**card["levels"]), "ood": ALL_LEVELS},
        episodes,
        seed=card["seed"],
        mode=card["distribution_mode"],
        on_episode=on_episode,
    )
    returns: dict[str, dict[str, dict[str, float | int]]] = {}
    for split in ("train", "ood"):
        returns[split] = {}
        for mode in ("sampled", "greedy"):
            played = player.play([expert], split=split, mode=mode)[0]
            returns[split][mode] = {
                "mean": round(float(played.mean()), 3),
                "std": round(float(played.std(ddof=1)), 3) if len(played) > 1 else 0.0,
                "n": len(played),
            }
    return returns


def _medium_steps(directory: Path, curve: Sequence[CurvePoint]) -> int | None:
    kept = [p for p in curve if p.train_return is not None and snapshot_path(directory, p.steps).exists()]
    if len(kept) < 2:
        return None
    half = (kept[-1].train_return or 0.0) / 2
    return min(kept[:-1], key=lambda p: abs((p.train_return or 0.0) - half)).steps


def _settings(config: TrainExpertConfig) -> dict[str, Any]:
    about = ("game", "architecture", "levels", "mode", "seed", "init", "steps")
    return {k: v for k, v in dataclasses.asdict(config).items() if k not in about}


def _evaluated(curve: Sequence[CurvePoint], steps: int) -> list[dict[str, float | int | None]]:
    return [
        {"steps": p.steps, "train_return": p.train_return, "validation_return": p.validation_return}
        for p in curve
        if p.validation_return is not None and p.steps <= steps
    ]
