"""What an evaluation needs, from two files: datasets, policies, levels and what identifies them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from .machine import describe_machine
from .options import command_line

if TYPE_CHECKING:
    from d3rlpy_distill.evaluation import SmallSet

__all__ = ["EvaluationInputs", "open_inputs"]


@dataclasses.dataclass(frozen=True)
class EvaluationInputs:
    """Two datasets that belong together, and how their game is played.

    Args:
        game: The game.
        real: The dataset that was distilled, a d3rlpy buffer.
        initial: What distillation started from; None if the synthetic file does not say.
        distilled: The synthetic set.
        others: Further small datasets, by arm.
        soft: Whether the synthetic set has soft labels; it is then among the others, too.
        policies: Policies that are not trained, by arm.
        splits: Levels of each split.
        mode: Procgen's difficulty.
        identity: JSON values that decide the results.
        provenance: JSON values to record.
    """

    game: str
    real: Any
    initial: Any
    distilled: Any
    others: dict[str, Any]
    soft: bool
    policies: dict[str, Any]
    splits: dict[str, Any]
    mode: str
    identity: dict[str, Any]
    provenance: dict[str, Any]


def open_inputs(
    real: Path,
    synthetic: Path,
    *,
    others: dict[str, Path],
    unseen_levels: str,
    expert: str | None,
    device: str,
) -> EvaluationInputs:
    """Loads and checks the files and the expert; ``others`` are further files of small datasets, by arm.

    Raises:
        click.ClickException: If they do not belong together.
    """
    from d3rlpy_distill.evaluation import TEACHERS_OF
    from procgen_datasets import ALL_LEVELS, TRAIN_LEVELS, VALIDATION_LEVELS, load_dataset, load_expert
    from procgen_datasets.env import procgen_build
    from procgen_datasets.games import Levels, get_game
    from procgen_datasets.hdf5 import package_versions, read_extras
    from procgen_datasets.policies import RandomPolicy

    shape = (3, 64, 64)
    real_buffer, real_info = load_dataset(real, observation_shape=shape)
    distilled, info = load_dataset(synthetic, observation_shape=shape)
    known = real_info.provenance
    if known is None:
        raise click.ClickException(
            f"{real} does not record its game and expert: expected a file of 'rld-distill collect'."
        )
    _check_source(synthetic, info, real, real_info)
    if distilled.transition_count > real_buffer.transition_count:
        raise click.ClickException(
            f"{synthetic} has {distilled.transition_count} samples, more than the {real_buffer.transition_count} "
            f"transitions of {real}: the arguments are REAL, then SYNTHETIC."
        )
    game = get_game(known.game).name
    initial = _initial_buffer(distilled, read_extras(synthetic, "initial"))
    levels = Levels(**known.settings["levels"]) if "levels" in known.settings else TRAIN_LEVELS
    splits = {"id": levels, "ood": ALL_LEVELS if unseen_levels == "all" else VALIDATION_LEVELS}
    name = expert or known.settings.get("expert")
    if name is None:
        raise click.ClickException(f"{real} does not record its expert: name one with --expert.")
    expert_policy = load_expert(name, device=device)
    mode = known.settings.get("distribution_mode", "easy")
    small, hashes = {}, {}
    main, main_hash = _small_set(synthetic, distilled, info, device)
    soft = main.teachers is not None
    policies = {"random-policy": RandomPolicy(), "expert": expert_policy}
    if soft:
        arm = f"soft-{distilled.transition_count}"
        if arm in others:
            raise click.UsageError(f"--also {arm!r}: {synthetic} makes an arm of that name; give another.")
        small[arm], hashes[arm] = main, main_hash
    for arm, path in others.items():
        buffer, other_info = load_dataset(path, observation_shape=shape)
        _check_source(path, other_info, real, real_info)
        small[arm], hashes[arm] = _small_set(path, buffer, other_info, device)
    for arm, one in small.items():
        if one.teachers is not None:
            policies[f"{TEACHERS_OF}-{arm}"] = one.teachers
    identity = {
        "real_sha256": real_info.content_sha256,
        "distilled_sha256": info.content_sha256,
        "levels": {name: dataclasses.asdict(value) for name, value in splits.items()},
        "distribution_mode": mode,
        "expert_sha256": expert_policy.sha256,
        **({"other_sha256": hashes} if hashes else {}),
    }
    provenance = {
        "command": command_line(),
        "environment_build": procgen_build(),
        "packages": package_versions(),
        "machine": describe_machine(),
        "real": {"file": real.name, "command": known.command, "settings": dict(known.settings)},
        "distilled": {
            "file": synthetic.name,
            "command": info.provenance.command if info.provenance else None,
            "settings": dict(info.provenance.settings) if info.provenance else None,
        },
    }
    return EvaluationInputs(
        game=game,
        real=real_buffer,
        initial=initial,
        distilled=distilled,
        others=small,
        soft=soft,
        policies=policies,
        splits=splits,
        mode=mode,
        identity=identity,
        provenance=provenance,
    )


def _check_source(path: Path, info: Any, real: Path, real_info: Any) -> None:
    if info.provenance and info.provenance.settings.get("source_sha256") != real_info.content_sha256:
        raise click.ClickException(
            f"{path} was not distilled from {real}: give the dataset it was made from "
            f"({info.provenance.settings.get('source')!r})."
        )


def _small_set(path: Path, buffer: Any, info: Any, device: str) -> tuple[SmallSet, str]:
    """The samples of a file with their labels, and the hash of both."""
    import hashlib

    from d3rlpy_distill import TransitionArrays
    from d3rlpy_distill.evaluation import SmallSet

    from .soft_labels import read_soft_labels, read_teachers

    samples = TransitionArrays.from_buffer(buffer)
    teachers = read_teachers(path, info, samples.observations.shape[1:], device)
    if teachers is None:
        return SmallSet(samples), info.content_sha256
    labels = read_soft_labels(path)
    digest = hashlib.sha256(info.content_sha256.encode() + labels.tobytes()).hexdigest()
    return SmallSet(dataclasses.replace(samples, probabilities=labels), teachers), digest


def _initial_buffer(distilled: Any, extras: Any) -> Any:
    """The buffer that distillation started from: other frames, the same actions and rewards."""
    import numpy as np

    from d3rlpy_distill import TransitionArrays, one_step_buffer

    if "observations" not in extras:
        return None
    data = TransitionArrays.from_buffer(distilled)
    if extras["observations"].shape != data.observations.shape:
        raise click.ClickException("the synthetic file's initial frames do not fit its samples: make it again.")
    return one_step_buffer(
        extras["observations"], data.actions, data.returns_to_go.astype(np.float32), data.action_size
    )
