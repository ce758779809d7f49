"""Distilled sets of MuJoCo's datasets beside cloning all data: the table of ``docs/continuous-control.md``.

Of each dataset it distils sets of several seeds, and evaluates them in one table. Beside them stand all data, the best
tenth of it, random transitions, and random states with labels of those that label the sets. Where a policy labels
them, all data with its labels stand there, too. The students of each arm also play as one. Run again into the same
directory, it goes on.

Run: ``python -m benchmarks.continuous_control halfcheetah-medium hopper-medium --out continuous``, and add
``--save benchmarks/results/continuous`` to keep the results for the page, which ``python benchmarks/update_readme.py``
renders. It needs ``pip install 'd3rlpy-distill[mujoco]'``."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from d3rlpy_distill import Budget, Distilled, DistillError, Protocol
from d3rlpy_distill.evaluation import Results
from d3rlpy_distill.executors import HERE, LocalExecutor
from d3rlpy_distill.pipeline import distill_to_file, load, plan_evaluation

FULL = Budget(4000, 256)
EXPERT = "expert"
METHOD = "kernel-actions"
SAMPLES = 256  # of the published tables
ON_PAGE = ("percentile", SAMPLES)
OWN = ("default", "percentile")
"""Presets of which the dataset itself says what is imitated."""


def run(name: str, arguments: argparse.Namespace) -> Results:
    """Makes the sets of a dataset and evaluates them."""
    directory, labels = Path(arguments.out), None if arguments.preset in OWN else arguments.labels
    tag = of_labels(arguments)
    dataset = load(name, data_directory=directory / "data")
    sets = []
    for seed in range(arguments.seeds):
        path = directory / "sets" / f"{name}-{arguments.method}-{tag}-{arguments.samples}-{seed}.h5"
        distill_to_file(
            dataset,
            path,
            arguments.method,
            preset=arguments.preset,
            expert=labels,
            seed=seed,
            n_samples=arguments.samples,
            command=_command(),
        )
        print(path, file=sys.stderr)
        sets.append(Distilled.load(path))
    n = arguments.samples
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
        command=_command(),
    )
    return ready.run(
        directory / "results" / f"{name}-{arguments.method}-{tag}-{n}",
        executor=HERE if arguments.jobs == 1 else LocalExecutor(jobs=arguments.jobs),
        progress=lambda what, done, total: print(f"{name}: {done}/{total} {what}", file=sys.stderr),
    )


def of_labels(arguments: argparse.Namespace) -> str:
    """The preset, and whose labels they are if a file is named: by the arm that ``evaluate`` kept it for."""
    if arguments.preset in OWN or arguments.labels == EXPERT:
        return str(arguments.preset)
    return f"{arguments.preset}-{Path(arguments.labels).parent.name}"


def _command() -> str:
    return shlex.join(["python", "-m", "benchmarks.continuous_control", *sys.argv[1:]])


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
