"""Distilled sets of MuJoCo's datasets beside cloning all data: the table of ``docs/continuous-control.md``.

Of each dataset it distils sets of several seeds, and evaluates them in one table. Beside them stand all data, the best
tenth of it, random transitions, and random states with labels of those that label the sets. Where a policy labels
them, all data with its labels stand there, too. The students of each arm also play as one. With --tangents each
dataset takes the value whose sets return most on validation starts. Run again into the same directory, it goes on.

Run: ``python -m benchmarks.continuous_control halfcheetah-medium hopper-medium --out continuous``, and add
``--save benchmarks/results/continuous`` to keep the results for the page, which ``python benchmarks/update_readme.py``
renders. It needs ``pip install 'd3rlpy-distill[mujoco]'``."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from d3rlpy_distill import Budget, Distilled, DistillError, OfflineDataset, Protocol
from d3rlpy_distill.evaluation import Results
from d3rlpy_distill.executors import HERE, LocalExecutor
from d3rlpy_distill.pipeline import Evaluation, distill_to_file, load, plan_evaluation

from .typed import typed

FULL = Budget(4000, 256)
EXPERT = "expert"
METHOD = "kernel-actions"
SAMPLES = 256  # of the published tables
ON_PAGE = ("percentile", SAMPLES)
TUNING_STUDENTS = 5
OWN = ("default", "percentile")
"""Presets of which the dataset itself says what is imitated."""


def run(name: str, arguments: argparse.Namespace) -> Results:
    """Makes the sets of a dataset and evaluates them."""
    directory, labels = Path(arguments.out), None if arguments.preset in OWN else arguments.labels
    dataset = load(name, data_directory=directory / "data")
    made = {tangent: make(dataset, name, tangent, arguments) for tangent in arguments.tangents}
    tried = validated(dataset, name, made, arguments) if len(made) > 1 else dict.fromkeys(made, 0.0)
    tangent = max(tried, key=lambda one: tried[one])
    sets, n = made[tangent], arguments.samples
    also = {f"seed-{seed}": one for seed, one in enumerate(sets) if seed > 0}
    ready = plan_evaluation(
        dataset,
        sets[:1],
        also=also,
        student="mlp",
        splits=["test"],
        protocol=Protocol(arguments.students, arguments.episodes, full=FULL, ensembles=True),
        arms=[
            "random-policy",
            *([] if arguments.sets_only else ["bc-10", "bc-100"]),
            *([] if labels is None else ["expert"]),
            *([] if labels is None or arguments.sets_only else ["bc-100-of-expert"]),
            f"random-{n}",
            f"init-{n}",
            *(f"init-of-{name}" for name in also),
            f"distilled-{n}",
            *also,
        ],
        expert=labels,
        command=typed("benchmarks.continuous_control"),
    )
    if len(tried) > 1:
        record = {f"{one:g}": score for one, score in tried.items()}
        ready = dataclasses.replace(ready, provenance={**ready.provenance, "tangents": record})
    return play(ready, directory / "results" / stem(name, tangent, arguments), name, arguments)


def make(dataset: OfflineDataset, name: str, tangent: float, arguments: argparse.Namespace) -> Sequence[Distilled]:
    """Distils a dataset once for each seed, unless that was done before."""
    sets, settings = [], dict[str, Any](tangent=tangent) if tangent else {}
    for seed in range(arguments.seeds):
        path = Path(arguments.out) / "sets" / f"{stem(name, tangent, arguments)}-{seed}.h5"
        distill_to_file(
            dataset,
            path,
            arguments.method,
            preset=arguments.preset,
            expert=None if arguments.preset in OWN else arguments.labels,
            seed=seed,
            n_samples=arguments.samples,
            command=typed("benchmarks.continuous_control"),
            **settings,
        )
        print(path, file=sys.stderr)
        sets.append(Distilled.load(path))
    return sets


def validated(
    dataset: OfflineDataset, name: str, made: Mapping[float, Sequence[Distilled]], arguments: argparse.Namespace
) -> Mapping[float, float]:
    """Returns the mean normalised score on validation starts of the sets of each tangent, 0 to 1."""
    sets = {
        tangent: {f"choice-{number}-seed-{seed}": one for seed, one in enumerate(every)}
        for number, (tangent, every) in enumerate(made.items())
    }
    also = {arm: one for every in sets.values() for arm, one in every.items()}
    ready = plan_evaluation(
        dataset,
        [],
        also=also,
        student="mlp",
        splits=["validation"],
        protocol=Protocol(TUNING_STUDENTS, arguments.episodes),
        arms=list(also),
        command=typed("benchmarks.continuous_control"),
    )
    results = play(ready, Path(arguments.out) / "validation" / stem(name, 0.0, arguments), name, arguments)
    scores = {arm.name: arm.normalised for arm in results.arms if arm.normalised is not None}
    return {tangent: float(np.mean([scores[arm] for arm in every])) for tangent, every in sets.items()}


def play(ready: Evaluation, out: Path, name: str, arguments: argparse.Namespace) -> Results:
    """Runs an evaluation."""
    return ready.run(
        out,
        executor=HERE if arguments.jobs == 1 else LocalExecutor(jobs=arguments.jobs),
        progress=lambda what, done, total: print(f"{name}: {done}/{total} {what}", file=sys.stderr),
    )


def stem(name: str, tangent: float, arguments: argparse.Namespace) -> str:
    """What the sets of a dataset are called in the directory."""
    share = f"-tangent-{tangent:g}" if tangent else ""
    return f"{name}-{arguments.method}-{of_labels(arguments)}-{arguments.samples}{share}"


def of_labels(arguments: argparse.Namespace) -> str:
    """The preset, and whose labels they are if a file is named: by the arm that ``evaluate`` kept it for."""
    if arguments.preset in OWN or arguments.labels == EXPERT:
        return str(arguments.preset)
    return f"{arguments.preset}-{Path(arguments.labels).parent.name}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+", help="names of 'rld-distill list datasets'")
    parser.add_argument("--out", required=True, help="directory of datasets, sets, students and results")
    parser.add_argument("--save", type=Path, help="directory of results files to write as well")
    parser.add_argument("--method", default=METHOD)
    parser.add_argument("--preset", default="percentile")
    parser.add_argument(
        "--labels",
        default=EXPERT,
        help="the policy that labels with preset pbc: a bundled one's name, or a file",
    )
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument(
        "--sets-only",
        action="store_true",
        help="leave out bc-10, bc-100 and bc-100-of-expert, which do not depend on --samples",
    )
    parser.add_argument(
        "--tangents",
        type=float,
        nargs="+",
        default=[0.0],
        help="values of --tangent of 'distill', of which each dataset takes the best on validation starts",
    )
    parser.add_argument("--seeds", type=int, default=3, help="distillations")
    parser.add_argument("--students", type=int, default=5, help="of each arm")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=1, help="units of work at a time")
    arguments = parser.parse_args()
    if arguments.sets_only and arguments.save is not None and (arguments.preset, arguments.samples) == ON_PAGE:
        parser.error(
            f"--sets-only --save with {arguments.samples} samples of preset {arguments.preset}: the page's table "
            "needs all arms; leave one out."
        )
    if arguments.labels != EXPERT and arguments.preset in OWN:
        parser.error(f"--labels with --preset {arguments.preset}, which asks no policy: give --preset pbc.")
    try:
        for name in arguments.datasets:
            results = run(name, arguments)
            if arguments.save is not None:
                size = "" if arguments.samples == SAMPLES else f"-{arguments.samples}"
                method = "" if arguments.method == METHOD else f"-{arguments.method}"
                path = arguments.save / f"{name}{method}-{of_labels(arguments)}{size}.json"
                results.save(path, overwrite=True)
                print(path)
    except DistillError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
