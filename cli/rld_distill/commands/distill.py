"""``rld-distill distill``."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from ..options import (
    ConfigCommand,
    check_device,
    command_line,
    device_option,
    dry_run_option,
    echo_result,
    json_option,
    seed_option,
)

if TYPE_CHECKING:
    from d3rlpy_distill.matching import DistillationConfig

EPILOG = """
Examples:

  rld-distill distill data/starpilot.h5 --samples 150 --out data/starpilot-150.h5

  rld-distill distill data/starpilot.h5 --preset paper --out data/starpilot-paper.h5

  rld-distill distill data/starpilot.h5 --method unrolled --window 20 --steps 600 --out data/starpilot-unrolled.h5
"""
FROM_PRESET = "  [default: from the preset]"


@click.command("distill", cls=ConfigCommand, epilog=EPILOG)
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to make.  [default: DATASET-SAMPLES.h5]",
)
@click.option("--samples", type=click.IntRange(1), default=150, show_default=True, help="Synthetic samples.")
@click.option(
    "--preset",
    type=click.Choice(["default", "paper"]),
    default="default",
    show_default=True,
    help="All options below at once; paper is arXiv 2407.20299.",
)
@click.option(
    "--learner",
    type=click.Choice(["bc", "dqn", "cql"]),
    default="bc",
    show_default=True,
    help="Whose loss to match: behaviour cloning, or Q-learning, plain or conservative.",
)
@click.option(
    "--rewards",
    type=click.Choice(["return_to_go", "learned"]),
    help="Rewards of the samples; learned ones need a Q-learner." + FROM_PRESET,
)
@click.option("--steps", type=click.IntRange(0), help="Steps of distillation." + FROM_PRESET)
@click.option(
    "--method",
    type=click.Choice(["gradient", "unrolled"]),
    help="Match gradients, or train through a window of a student's steps." + FROM_PRESET,
)
@click.option(
    "--sharpness",
    type=click.FloatRange(0),
    help="Draw every action anew from the policy's probabilities to this power; 0 keeps those taken."
    + FROM_PRESET,
)
@click.option(
    "--shared-observations",
    type=click.IntRange(0),
    help="Start all samples from this many observations, each with all actions; 0: one each." + FROM_PRESET,
)
@click.option("--window", type=click.IntRange(1), help="Unrolled: steps to train through." + FROM_PRESET)
@click.option("--horizon", type=click.IntRange(1), help="Unrolled: steps of a student." + FROM_PRESET)
@click.option("--allocation", type=click.Choice(["even", "frequency"]), help="Samples per action." + FROM_PRESET)
@click.option("--grouping", type=click.Choice(["action", "batch"]), help="Gradients to match." + FROM_PRESET)
@click.option("--distance", type=click.Choice(["l2", "cosine"]), help="Distance of gradients." + FROM_PRESET)
@click.option(
    "--theta", type=click.Choice(["random", "trajectory", "given"]), help="Where to match." + FROM_PRESET
)
@click.option("--trajectory-length", type=click.IntRange(1), help="Steps of a trajectory." + FROM_PRESET)
@click.option("--trajectory-stride", type=click.IntRange(1), help="Steps between matches." + FROM_PRESET)
@click.option("--optimizer", type=click.Choice(["sgd", "adam"]), help="On the pixels." + FROM_PRESET)
@click.option("--learning-rate", type=float, help="Grey levels; vectors: deviations." + FROM_PRESET)
@click.option("--momentum", type=float, help="Of SGD, or Adam's first beta." + FROM_PRESET)
@click.option("--real-batch-size", type=click.IntRange(1), help="Real transitions a gradient." + FROM_PRESET)
@click.option("--output-dtype", type=click.Choice(["uint8", "float32"]), help="Of the frames." + FROM_PRESET)
@click.option("--expert", help="Where --theta given matches.  [default: the one that played the dataset]")
@seed_option
@device_option
@json_option
@dry_run_option
def command(
    dataset: Path,
    out: Path | None,
    samples: int,
    preset: str,
    learner: str,
    steps: int | None,
    theta: str | None,
    expert: str | None,
    seed: int,
    device: str,
    as_json: bool,
    dry_run: bool,
    **overrides: Any,
) -> None:
    """Turn DATASET into a tiny synthetic one by gradient matching.

    The result is a d3rlpy dataset of one-step episodes that stock d3rlpy loads. Interrupted, the command goes
    on from its last checkpoint when it is run again, to the same bytes.
    """
    check_device(device)
    from d3rlpy_distill import __version__
    from procgen_datasets import load_dataset
    from procgen_datasets.hdf5 import Provenance, read_extras, read_own

    path = out or dataset.with_name(f"{dataset.stem}-{samples}.h5")
    if path.resolve() == dataset.resolve():
        raise click.UsageError(f"--out {path} is the dataset itself: give another path.")
    buffer, info = load_dataset(dataset)
    known = info.provenance
    game = known.game if known else dataset.stem
    chosen = {k: v for k, v in overrides.items() if v is not None}
    played_by = expert or (known.settings.get("expert") if known else None)
    probabilities = read_extras(dataset, "steps").get("action_probabilities")
    config, weights, preset_steps, expert_sha256 = _configure(
        buffer, preset, learner, samples, seed, theta, played_by, chosen, probabilities is not None
    )
    if config.sharpness is None:
        probabilities = None
    n_steps = preset_steps if steps is None else steps
    settings = {
        "preset": preset,
        "steps": n_steps,
        "config": config.to_json(),
        "expert_sha256": expert_sha256,
        "source": dataset.name,
        "source_sha256": info.content_sha256,
        "version": __version__,
    }
    provenance = Provenance("distilled", game, info.action_size, command_line(), settings)
    distiller = config.create(device=device, weights=weights)
    if dry_run:
        _echo_plan(as_json, distiller, buffer, probabilities, n_steps, path)
        return
    if path.exists():
        read_own(path, provenance)
        seconds = 0.0
    else:
        start = time.perf_counter()
        _run(distiller, buffer, probabilities, n_steps, path, provenance)
        seconds = time.perf_counter() - start
    size = path.stat().st_size
    result = {"path": str(path), "samples": samples, "steps": n_steps, "bytes": size, "seconds": seconds}
    echo_result(
        as_json,
        result,
        f"{path}: {samples} samples from {buffer.transition_count} transitions, "
        f"{n_steps} steps, {size / 1e6:.1f} MB, {seconds:.0f} s",
    )


def _configure(
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
    from d3rlpy_distill.matching import (
        DEFAULT_STEPS,
        PAPER_STEPS,
        VECTOR_STEPS,
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
    config = dataclasses.replace(
        default_matching(n_samples=samples, seed=seed), learner=learner_for(buffer, learner)
    )
    if not has_images(buffer):
        config, steps = vector_matching(config.learner, n_samples=samples, seed=seed), VECTOR_STEPS
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
    return (
        _override(config, {**chosen, **({"theta": theta} if theta else {})}, has_probabilities),
        weights,
        steps,
        sha256,
    )


def _override(config: DistillationConfig, chosen: dict[str, Any], has_probabilities: bool) -> DistillationConfig:
    """Returns the preset's configuration with what the user asked for instead."""
    from d3rlpy_distill import DistillationConfig, GradientMatchingConfig, UnrolledMatchingConfig

    method = chosen.pop("method", None)
    kind = {None: type(config), "gradient": GradientMatchingConfig, "unrolled": UnrolledMatchingConfig}[method]
    fields = DistillationConfig if kind is not type(config) else kind
    settings = {field.name: getattr(config, field.name) for field in dataclasses.fields(fields)}
    if chosen.get("sharpness") and not has_probabilities:
        raise click.UsageError(
            f"--sharpness {chosen['sharpness']:g}: the dataset records no action probabilities, as 'rld-distill "
            "collect' does: leave it out."
        )
    if not has_probabilities:
        settings["sharpness"] = None
    for name in ("sharpness", "shared_observations"):
        if chosen.get(name) == 0:
            chosen[name] = None
    known = {field.name for field in dataclasses.fields(kind)}
    for name in chosen:
        if name not in known:
            option = "--" + name.replace("_", "-")
            other = "unrolled" if kind is GradientMatchingConfig else "gradient"
            raise click.UsageError(f"{option} is for --method {other}: leave it out, or give that.")
    try:
        config: DistillationConfig = kind(**{**settings, **chosen})
        return config
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _run(distiller: Any, buffer: Any, probabilities: Any, n_steps: int, path: Path, provenance: Any) -> None:
    import numpy as np

    from procgen_datasets.hdf5 import EpisodeData, EpisodeWriter

    from ..progress import ProgressBar

    path.parent.mkdir(parents=True, exist_ok=True)
    with ProgressBar("distilling", n_steps) as bar:
        synthetic = distiller.fit(
            buffer,
            n_steps,
            probabilities=probabilities,
            checkpoint=path.with_name(path.name + ".checkpoint"),
            on_step=lambda step, loss: bar.update("distilling", step, n_steps, f"distance {loss:.3g}"),
        )
    initial = np.concatenate([episode.observations for episode in distiller.initial.episodes])
    groups = {"initial/observations": initial, "initial/transition": distiller.source_index}
    with EpisodeWriter(path, provenance, groups=groups) as writer:
        for episode in synthetic.episodes:
            discrete = np.issubdtype(episode.actions.dtype, np.integer)
            actions = episode.actions[:, 0] if discrete else episode.actions
            writer.write(EpisodeData(episode.observations, actions, episode.rewards[:, 0], terminated=True))


def _echo_plan(as_json: bool, distiller: Any, buffer: Any, probabilities: Any, n_steps: int, path: Path) -> None:
    from ..machine import duration

    ticks: list[float] = []
    distiller.fit(
        buffer, 3, probabilities=probabilities, on_step=lambda step, loss: ticks.append(time.perf_counter())
    )
    seconds = (ticks[2] - ticks[0]) / 2 * n_steps
    plan = {"would": "distill", "samples": distiller.config.n_samples, "steps": n_steps, "path": str(path)}
    echo_result(
        as_json,
        {**plan, "seconds": seconds},
        f"would distill {buffer.transition_count} transitions into {distiller.config.n_samples} samples, "
        f"{n_steps} steps, into {path}: about {duration(seconds)} (two steps were timed).",
    )
