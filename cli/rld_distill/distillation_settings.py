"""The configuration of a distillation: a preset for the dataset, and what the user asked for instead."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import rich_click as click

if TYPE_CHECKING:
    from d3rlpy_distill import DistillationConfig

__all__ = ["configure"]


def configure(
    buffer: Any,
    preset: str,
    learner: str,
    samples: int,
    seed: int,
    theta: str | None,
    expert: str | None,
    chosen: dict[str, Any],
    has_probabilities: bool,
) -> tuple[DistillationConfig, Any, int, str | None]:
    """Returns the configuration, the weights to match at, the preset's steps and the expert's hash."""
    from d3rlpy.algos import DiscreteBCConfig

    from d3rlpy_distill.matching import (
        DEFAULT_STEPS,
        PAPER_STEPS,
        TEACHERS,
        VECTOR_STEPS,
        LabelDistillationConfig,
        default_matching,
        has_images,
        learner_for,
        paper_matching,
        vector_matching,
    )
    from procgen_datasets import load_expert

    if preset == "paper" and (learner != "bc" or not has_images(buffer)):
        raise click.UsageError("--preset paper is for images and --learner bc: leave it out.")
    weights, sha256, steps = None, None, DEFAULT_STEPS
    chosen_learner = learner_for(buffer, learner)
    if has_images(buffer):
        config = default_matching(n_samples=samples, seed=seed)
        if not isinstance(chosen_learner, DiscreteBCConfig):
            # rewards belong to the actions that were taken, and continuous actions have no probabilities
            config = dataclasses.replace(config, learner=chosen_learner, sharpness=None, shared_observations=None)
        config = dataclasses.replace(config, learner=chosen_learner)
    else:
        config, steps = vector_matching(chosen_learner, n_samples=samples, seed=seed), VECTOR_STEPS
    if preset == "paper":
        theta, steps = theta or "given", PAPER_STEPS
    if theta == "given":
        if expert is None:
            raise click.UsageError("the dataset does not record its expert: name it with --expert.")
        if learner != "bc" or not has_images(buffer):
            raise click.UsageError(
                "--theta given matches at an expert's weights: for images and --learner bc only."
            )
        loaded = load_expert(expert)
        expert_learner = loaded.as_learner()
        weights, sha256 = expert_learner.impl.modules.imitator.state_dict(), loaded.sha256
        if preset == "paper":
            config = paper_matching(expert_learner.config, n_samples=samples, seed=seed)
        else:
            config = dataclasses.replace(config, learner=expert_learner.config)
    elif preset == "paper":
        # the formula of the paper rather than its runs: the student's own network, not the expert's
        config = paper_matching(config.learner, n_samples=samples, seed=seed)
    overridden = _override(config, {**chosen, **({"theta": theta} if theta else {})}, has_probabilities)
    if isinstance(overridden, LabelDistillationConfig):
        steps = TEACHERS * overridden.teacher_steps
    return overridden, weights, steps, sha256


def _override(config: DistillationConfig, chosen: dict[str, Any], has_probabilities: bool) -> DistillationConfig:
    """Returns the preset's configuration with what the user asked for instead."""
    from d3rlpy_distill import (
        DistillationConfig,
        GradientMatchingConfig,
        LabelDistillationConfig,
        UnrolledMatchingConfig,
    )

    methods: dict[str, type[DistillationConfig]] = {
        "gradient": GradientMatchingConfig,
        "unrolled": UnrolledMatchingConfig,
        "labels": LabelDistillationConfig,
    }
    method = chosen.pop("method", None)
    kind = type(config) if method is None else methods[method]
    fields = DistillationConfig if kind is not type(config) else kind
    settings = {field.name: getattr(config, field.name) for field in dataclasses.fields(fields)}
    if chosen.get("sharpness") and not has_probabilities:
        raise click.UsageError(
            f"--sharpness {chosen['sharpness']:g}: the dataset records no action probabilities, as 'rld-distill "
            "collect' does: leave it out."
        )
    if not has_probabilities:
        settings["sharpness"] = None
    if kind is LabelDistillationConfig:
        settings["shared_observations"] = None
    for name, off in (("sharpness", 0), ("shared_observations", 0), ("percent", 100)):
        if chosen.get(name) == off:
            chosen[name] = None
    known = {field.name for field in dataclasses.fields(kind)}
    for name in chosen:
        if name not in known:
            option = "--" + name.replace("_", "-")
            other = next(m for m, k in methods.items() if name in {field.name for field in dataclasses.fields(k)})
            raise click.UsageError(f"{option} is for --method {other}: leave it out, or give that.")
    try:
        overridden: DistillationConfig = kind(**{**settings, **chosen})
        return overridden
    except ValueError as error:
        raise click.UsageError(str(error)) from error
