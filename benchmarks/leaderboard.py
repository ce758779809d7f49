"""Every method at one size and one budget, in the strong setting: the table of ``docs/leaderboard.md``.

Distils a dataset with each registered method that suits it, evaluates all sets and coresets in one table whose budgets
are tuned for every arm alike on validation levels, and records the seconds that each distillation took. A method that
cannot distil the dataset is named on stderr and left out, unless --methods names it. Run again into the same
directory, it goes on.

Run: ``python -m benchmarks.leaderboard starpilot-expert --out leaderboard/starpilot``, and add
``--save benchmarks/results/leaderboard/starpilot.json`` to keep the results for the page, which
``python benchmarks/update_readme.py`` renders."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from d3rlpy_distill import Distilled, DistillError, OfflineDataset, Protocol
from d3rlpy_distill.catalogue import METHODS, STUDENTS
from d3rlpy_distill.errors import SettingsError, UnsuitableDatasetError
from d3rlpy_distill.evaluation import Results, Tuning, grid_of
from d3rlpy_distill.executors import HERE, Executor, LocalExecutor
from d3rlpy_distill.files import read_document, write_document
from d3rlpy_distill.pipeline import Evaluation, distill_to_file, load, plan_evaluation
from d3rlpy_distill.students.cloning import CloningStudent

from .typed import typed

CORESETS = tuple(METHODS.names("coreset"))
KEPT = ("random-policy", "expert", "bc-100", "bc-100-soft")


@dataclasses.dataclass(frozen=True)
class Made:
    """A distilled set, and the seconds that it took; None where its making was interrupted and they are lost."""

    distilled: Distilled
    seconds: float | None


def make(
    dataset: OfflineDataset, method: str, path: Path, *, student: str, seed: int, device: str, **settings: Any
) -> Made:
    """Distils into a file, unless that was done before, and keeps the seconds beside it."""
    record, begun = path.with_suffix(".json"), path.with_name(f"{path.name}.checkpoint").exists()
    there, start = path.exists(), time.perf_counter()
    given = {
        "student": student,
        "seed": seed,
        "device": device,
        "command": typed("benchmarks.leaderboard"),
        **settings,
    }
    distill_to_file(dataset, path, method, **given)
    if not there:
        seconds = None if begun else time.perf_counter() - start
        # a record that is there is of a set that was removed
        write_document(record, {"seconds": seconds}, overwrite=True)
    kept = read_document(record).get("seconds") if record.exists() else None
    return Made(Distilled.load(path, device=device), None if kept is None else float(kept))


def plan(
    dataset: OfflineDataset, made: Mapping[str, Made], *, student: str, samples: int, protocol: Protocol,
    random_soft: Sequence[int], device: str,
) -> Evaluation:  # fmt: skip
    """Returns one evaluation of all sets and coresets; no arm has a budget of its own."""
    sets = {f"{method}-{samples}": one.distilled for method, one in made.items()}
    ready = plan_evaluation(
        dataset,
        [],
        also=sets,
        student=student,
        protocol=protocol,
        coresets=CORESETS,
        random_soft=random_soft if any(one.teachers is not None for one in sets.values()) else (),
        device=device,
        command=typed("benchmarks.leaderboard"),
        add_arms=[*(f"actions-of-{name}" for name, one in sets.items() if one.soft), *_recorded(dataset, student)],
    )
    arms, seen = [], set()
    for arm in ready.arms:
        kind = arm.about
        alike = (kind.kind, kind.size, kind.teachers)
        if kind.size is None and arm.name not in KEPT:
            continue
        if kind.kind == "random" and alike in seen:  # sets of the same teachers share their random frames
            continue
        seen.add(alike)
        arms.append(arm)
    policies = [one for one in ready.policies if one.name in KEPT]
    about = {
        name: {**dict(told), "seconds": made[name.removesuffix(f"-{samples}")].seconds}
        for name, told in ready.provenance["distilled"].items()
    }
    return dataclasses.replace(
        ready, arms=arms, policies=policies, provenance={**ready.provenance, "distilled": about}
    )


def run(arguments: argparse.Namespace) -> Results:
    """Makes the sets and evaluates them."""
    dataset, directory = load(arguments.dataset), Path(arguments.out)
    made: dict[str, Made] = {}
    named = arguments.methods
    for method in named or [name for name in METHODS.names() if name not in CORESETS]:
        settings = {} if arguments.steps is None else {"steps": arguments.steps}
        print(f"distilling with {method}", file=sys.stderr)
        try:
            made[method] = make(
                dataset,
                method,
                directory / f"{method}-{arguments.samples}.h5",
                student=arguments.student,
                seed=arguments.seed,
                device=arguments.device,
                n_samples=arguments.samples,
                **settings,
            )
        except (UnsuitableDatasetError, SettingsError) as error:
            if named:
                raise
            print(f"{method} is left out: {error}", file=sys.stderr)
    tuning = _tuning(arguments)
    protocol = Protocol(arguments.students, arguments.episodes, seed=arguments.seed, tuning=tuning)
    ready = plan(
        dataset,
        made,
        student=arguments.student,
        samples=arguments.samples,
        protocol=protocol,
        random_soft=arguments.random_soft,
        device=arguments.device,
    )
    executor: Executor = HERE if arguments.jobs == 1 else LocalExecutor(jobs=arguments.jobs)
    return ready.run(
        directory / "results",
        executor=executor,
        device=arguments.device,
        progress=lambda what, done, total: print(f"{done}/{total} {what}", file=sys.stderr),
    )


def _recorded(dataset: OfflineDataset, student: str) -> list[str]:
    cloning = isinstance(STUDENTS.get(student)(), CloningStudent)
    return ["bc-100-soft"] if cloning and dataset.behaviour is not None else []


def _tuning(arguments: argparse.Namespace) -> Tuning | None:
    if arguments.tune == "none":
        return None
    return dataclasses.replace(
        grid_of(arguments.tune.split(",")), students=arguments.tune_students, episodes=arguments.tune_episodes
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="file, or name of a dataset")
    parser.add_argument("--out", required=True, help="directory of sets, students and results")
    parser.add_argument("--save", type=Path, help="results file to write as well")
    parser.add_argument("--methods", nargs="+", help="by default all that are registered and learn")
    parser.add_argument("--samples", type=int, default=150)
    parser.add_argument("--random-soft", type=int, nargs="*", default=[600, 1500])
    parser.add_argument("--student", default="impala-s2d")
    parser.add_argument("--students", type=int, default=10)
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--tune", default="strong", help="'none', or what 'evaluate --tune' takes")
    parser.add_argument("--tune-students", type=int, default=3)
    parser.add_argument("--tune-episodes", type=int, default=50)
    parser.add_argument("--steps", type=int, help="of every distillation; by default each method's own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu:0")
    parser.add_argument("--jobs", type=int, default=1, help="units of work at a time")
    arguments = parser.parse_args()
    try:
        results = run(arguments)
    except DistillError as error:
        sys.exit(f"Error: {error}")
    if arguments.save is not None:
        results.save(arguments.save, overwrite=True)
        print(arguments.save)


if __name__ == "__main__":
    main()
