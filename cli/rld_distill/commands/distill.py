"""``rld-distill distill``."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

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

EPILOG = """
Examples:

  rld-distill distill data/starpilot.h5 --samples 150 --out data/starpilot-150.h5

  rld-distill distill data/starpilot.h5 --preset paper --out data/starpilot-paper.h5

  rld-distill distill data/starpilot.h5 --method labels --out data/starpilot-soft.h5

  rld-distill distill data/bigfish.h5 --percent 10 --out data/bigfish-best.h5

  rld-distill distill data/starpilot.h5 --method labels --teachers data/starpilot-soft.h5 --samples 50

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
    type=click.Choice(["gradient", "unrolled", "labels"]),
    help="Match gradients, train through a window of a student's steps, or give real observations soft labels."
    + FROM_PRESET,
)
@click.option(
    "--percent",
    type=click.FloatRange(0, 100, min_open=True),
    help="Distil only the episodes of the highest returns, until this % of the transitions are in; 100: all."
    + FROM_PRESET,
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
@click.option("--teacher-steps", type=click.IntRange(1), help="Labels: steps of each teacher." + FROM_PRESET)
@click.option(
    "--teachers",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Labels: take the teachers of this file of the same dataset instead of training some.",
)
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
    teachers: Path | None,
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

    from ..distillation_settings import configure
    from ..soft_labels import reuse_teachers

    path = out or dataset.with_name(f"{dataset.stem}-{samples}.h5")
    if path.resolve() == dataset.resolve():
        raise click.UsageError(f"--out {path} is the dataset itself: give another path.")
    buffer, info = load_dataset(dataset)
    known = info.provenance
    game = known.game if known else dataset.stem
    chosen = {k: v for k, v in overrides.items() if v is not None}
    played_by = expert or (known.settings.get("expert") if known else None)
    probabilities = read_extras(dataset, "steps").get("action_probabilities")
    config, weights, preset_steps, expert_sha256 = configure(
        buffer, preset, learner, samples, seed, theta, played_by, chosen, probabilities is not None
    )
    if config.sharpness is None:
        probabilities = None
    n_steps = preset_steps if steps is None else steps
    given, teachers_sha256 = None, None
    if teachers is not None:
        if not config.takes_teachers:
            raise click.UsageError("--teachers is for --method labels: leave it out, or give that.")
        if steps is not None:
            raise click.UsageError("--steps trains teachers, --teachers gives them: leave one out.")
        given, teachers_sha256 = reuse_teachers(teachers, info, buffer, config, device)
        n_steps = 0
    settings = {
        "preset": preset,
        "steps": n_steps,
        "config": config.to_json(),
        "expert_sha256": expert_sha256,
        "source": dataset.name,
        "source_sha256": info.content_sha256,
        "version": __version__,
        **({"teachers_sha256": teachers_sha256} if teachers_sha256 else {}),
    }
    provenance = Provenance("distilled", game, info.action_size, command_line(), settings)
    distiller = config.create(device=device, weights=weights, teachers=given)
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
    kept = "" if config.percent is None else f"the best {config.percent:g}% of "
    result = {"path": str(path), "samples": samples, "steps": n_steps, "bytes": size, "seconds": seconds}
    echo_result(
        as_json,
        result,
        f"{path}: {samples} samples from {kept}{buffer.transition_count} transitions, "
        f"{n_steps} steps, {size / 1e6:.1f} MB, {seconds:.0f} s",
    )


def _run(distiller: Any, buffer: Any, probabilities: Any, n_steps: int, path: Path, provenance: Any) -> None:
    import numpy as np

    from procgen_datasets.hdf5 import EpisodeData, EpisodeWriter

    from ..progress import ProgressBar
    from ..soft_labels import teacher_groups

    path.parent.mkdir(parents=True, exist_ok=True)
    with ProgressBar("distilling", n_steps) as bar:
        synthetic = distiller.fit(
            buffer,
            n_steps,
            probabilities=probabilities,
            checkpoint=path.with_name(path.name + ".checkpoint"),
            on_step=lambda step, loss: bar.update("distilling", step, n_steps, f"loss {loss:.3g}"),
        )
    groups = {"initial/transition": distiller.source_index}
    steps: list[dict[str, Any]] = [{}] * len(synthetic.episodes)
    if distiller.teachers is None:
        initial = [episode.observations for episode in distiller.initial.episodes]
        groups["initial/observations"] = np.concatenate(initial)
    else:  # the samples' observations are the initial ones
        groups.update(teacher_groups(distiller.teachers))
        observations = np.concatenate([episode.observations for episode in synthetic.episodes])
        steps = [{"action_probabilities": label[None]} for label in distiller.teachers.label(observations)]
    with EpisodeWriter(path, provenance, groups=groups) as writer:
        for episode, extra in zip(synthetic.episodes, steps, strict=True):
            discrete = np.issubdtype(episode.actions.dtype, np.integer)
            actions = episode.actions[:, 0] if discrete else episode.actions
            rewards = episode.rewards[:, 0]
            writer.write(EpisodeData(episode.observations, actions, rewards, terminated=True, steps=extra))


def _echo_plan(as_json: bool, distiller: Any, buffer: Any, probabilities: Any, n_steps: int, path: Path) -> None:
    from ..machine import duration

    ticks: list[float] = []

    class Timed(Exception):
        pass

    def tick(step: int, loss: float) -> None:
        ticks.append(time.perf_counter())
        if step == 3:
            raise Timed

    seconds, estimate = 0.0, ""
    if n_steps:
        with contextlib.suppress(Timed):  # what follows the last step may take long
            distiller.fit(buffer, 3, probabilities=probabilities, on_step=tick)
        seconds = (ticks[2] - ticks[0]) / 2 * n_steps
        estimate = f": about {duration(seconds)} (two steps were timed)"
    plan = {"would": "distill", "samples": distiller.config.n_samples, "steps": n_steps, "path": str(path)}
    echo_result(
        as_json,
        {**plan, "seconds": seconds},
        f"would distill {buffer.transition_count} transitions into {distiller.config.n_samples} samples, "
        f"{n_steps} steps, into {path}{estimate}.",
    )
