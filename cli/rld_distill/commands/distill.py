"""``rld-distill distill``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from ..complete import Known
from ..duration import duration
from ..methods import DEFAULT_METHOD, MethodCommand
from ..options import (
    check_device,
    command_line,
    device_option,
    dry_run_option,
    echo_nothing_to_do,
    echo_result,
    json_option,
    plugin_option,
    seed_option,
    trust_option,
    warn,
)
from ..speech import say_next

if TYPE_CHECKING:
    from d3rlpy_distill.methods import Method

EPILOG = """
Examples:

  rld-distill distill data/starpilot.h5 --samples 150 --out data/starpilot-150.h5

  rld-distill distill data/starpilot.h5 --preset paper --out data/starpilot-paper.h5

  rld-distill distill data/starpilot.h5 --method labels --out data/starpilot-soft.h5

  rld-distill distill data/bigfish.h5 --percent 10 --out data/bigfish-best.h5

  rld-distill distill data/starpilot.h5 --method labels --teachers data/starpilot-soft.h5 --samples 50

  rld-distill distill data/starpilot.h5 --method unrolled --window 20 --steps 600 --out data/starpilot-unrolled.h5

  rld-distill distill data/starpilot.h5 --plugin examples/add_a_method.py --method noisy --noise 8
"""


class _DistillCommand(MethodCommand):
    def configured(self, values: Mapping[str, Any], settings: Mapping[str, Any]) -> Method:
        from d3rlpy_distill.pipeline import configure, load

        return configure(
            load(values["dataset"], task=values["task"]), values["method"], **_asked(values), **settings
        )[0]


@click.command("distill", cls=_DistillCommand, epilog=EPILOG)
@click.argument("dataset", type=Known("datasets", files=True))
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to make.  [default: DATASET-SAMPLES.h5]",
)
@click.option(
    "--method",
    type=Known("distillations"),
    default=DEFAULT_METHOD,
    show_default=True,
    help="A method or coreset of 'rld-distill list methods' or 'list coresets'.",
)
@click.option(
    "--preset",
    default="default",
    show_default=True,
    help="Settings of the method at once, see 'rld-distill presets METHOD'; for example paper for gradient.",
)
@click.option(
    "--student",
    type=Known("students"),
    help="Whose learner is matched, see 'rld-distill list students'.  [default: the task's]",
)
@click.option(
    "--learner", type=click.Choice(["bc", "dqn", "cql"]), hidden=True, help="Now --student; of version 0.1."
)
@click.option(
    "--expert",
    help="The policy of --theta given, --imitate policy and --weighting value.  [default: the one that played the "
    "dataset]",
)
@trust_option
@click.option(
    "--teachers",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Labels: take the teachers of this file of the same dataset instead of training some.",
)
@click.option(
    "--task", type=Known("tasks"), help="Of a dataset that does not record it, for example gym/CartPole-v1."
)
@plugin_option
@seed_option
@device_option
@json_option
@dry_run_option
def command(
    dataset: str,
    out: Path | None,
    method: str,
    preset: str,
    student: str | None,
    learner: str | None,
    expert: str | None,
    trust: bool,
    teachers: Path | None,
    task: str | None,
    seed: int,
    device: str,
    as_json: bool,
    dry_run: bool,
    settings: dict[str, Any],
) -> None:
    """Turn DATASET, a file or a name of 'rld-distill list datasets', into a tiny synthetic one.

    The result is a d3rlpy dataset of one-step episodes that stock d3rlpy loads. Interrupted, the command goes
    on from its last checkpoint when it is run again, to the same bytes.

    Each method has options of its own: 'rld-distill distill --method labels --help' shows those of labels.
    """
    check_device(device)
    from d3rlpy_distill.estimates import distillation_seconds
    from d3rlpy_distill.pipeline import check_distillation, distill_to_file, load

    from ..progress import ProgressBar

    path = out or _default_out(dataset, settings["n_samples"])
    if path.resolve() == Path(dataset).resolve():
        raise click.UsageError(f"--out {path} is the dataset itself: give another path.")
    data = load(dataset, task=task)
    given = {"student": student, "learner": learner, "preset": preset, "expert": expert, "teachers": teachers}
    asked = {**_asked({**given, "trust": trust, "seed": seed, "device": device}), **settings}
    if dry_run:
        configured, there = check_distillation(data, path, method, **asked)
        if there:
            echo_nothing_to_do(as_json, "distill", path)
            return
        seconds = distillation_seconds(configured, data, seed=seed, device=device)
        _echo_plan(as_json, configured, len(data), path, seconds)
        return
    start = time.perf_counter()
    there = path.exists()
    with ProgressBar("distilling", None) as bar:
        made = distill_to_file(
            data,
            path,
            method,
            command=command_line(),
            on_step=lambda step, total, loss: bar.update("distilling", step, total, f"loss {loss:.3g}"),
            **asked,
        )
    _echo_made(as_json, made, len(data), path, 0.0 if there else time.perf_counter() - start)
    named = [] if task is None else ["--task", task]
    say_next("evaluate", dataset, path, *named, *([] if student is None else ["--student", student]))


def _asked(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the library takes beside the method's own settings."""
    same = {name: values[name] for name in ("preset", "expert", "trust", "teachers", "seed", "device")}
    return {"student": _student(values["student"], values["learner"]), **same}


def _default_out(dataset: str, samples: int) -> Path:
    path = Path(dataset)
    beside = path.parent if path.exists() or path.suffix else Path("data")
    return beside / f"{path.stem}-{samples}.h5"


def _student(student: str | None, learner: str | None) -> str | None:
    """The student that is meant; version 0.1 named its learner."""
    if learner is None:
        return student
    if student is not None:
        raise click.UsageError(f"--learner {learner} is now --student: give one of the two.")
    if learner == "bc":
        warn("--learner bc is what --student gives by default: leave it out.")
        return None
    warn(f"--learner {learner} is now --student {learner}.")
    return learner


def _echo_plan(as_json: bool, method: Method, transitions: int, path: Path, seconds: float) -> None:
    samples, steps = method.n_samples, method.total_steps
    estimate = f": about {duration(seconds)} (its first steps were timed)" if steps else ""
    plan = {"would": "distill", "samples": samples, "steps": steps, "path": str(path), "seconds": seconds}
    text = f"would distill {transitions} transitions into {samples} samples, {steps} steps, into {path}{estimate}."
    echo_result(as_json, plan, text)


def _echo_made(as_json: bool, method: Method, transitions: int, path: Path, seconds: float) -> None:
    samples, steps, size = method.n_samples, method.total_steps, path.stat().st_size
    percent = getattr(method, "percent", None)
    kept = "" if percent is None else f"the best {percent:g}% of "
    result = {"path": str(path), "samples": samples, "steps": steps, "bytes": size, "seconds": seconds}
    text = (
        f"{path}: {samples} samples from {kept}{transitions} transitions, "
        f"{steps} steps, {size / 1e6:.1f} MB, {seconds:.0f} s"
    )
    echo_result(as_json, result, text)
