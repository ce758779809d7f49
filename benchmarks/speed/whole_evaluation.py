"""Seconds of `rld-distill evaluate` as a whole, all arms of a game, beside those of another checkout of this project.

Both run on the same files, one after the other, with the defaults of each: budgets, arms, jobs. What the arms took in
this one is printed beside it.

Run: ``git worktree add ../before 1b25e9f``, then ``python -m benchmarks.speed.whole_evaluation ../before starpilot.h5
starpilot-150.h5 --students 10``. The older checkout has to make the dataset (its ``collect``), as it does not know the
names of later experts."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from d3rlpy_distill.evaluation import Results

HERE = Path(__file__).parents[2]
PACKAGES = (".", "datasets", "cli")


def seconds(checkout: Path, arguments: list[str]) -> float:
    """Returns the wall-clock seconds of the command of a checkout; its errors end this one."""
    path = os.pathsep.join(str((checkout / package).resolve()) for package in PACKAGES)
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "rld_distill", "evaluate", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - start


def training_seconds(results: Results) -> dict[str, float]:
    """Returns the seconds that all students of each arm trained, summed over cores."""
    return {
        name: round(arm.train_seconds * arm.n_students, 1)
        for name in results.names()
        if (arm := results.main(name, next(iter(results.splits)))) is not None and arm.train_seconds
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="the other checkout")
    parser.add_argument("real", type=Path)
    parser.add_argument("distilled", type=Path)
    parser.add_argument("--students", type=int, default=10)
    parser.add_argument("--episodes", type=int, default=100)
    given = parser.parse_args()
    told = [str(given.real.resolve()), str(given.distilled.resolve()), "--students", str(given.students)]
    told += ["--episodes", str(given.episodes), "--out"]
    with tempfile.TemporaryDirectory() as directory:
        before = seconds(given.before, [*told, f"{directory}/before"])
        now = seconds(HERE, [*told, f"{directory}/now"])
        trained = training_seconds(Results.load(Path(directory) / "now" / "results.json"))
    found = {"before": round(before, 1), "now": round(now, 1), "ratio": round(now / before, 3)}
    print(json.dumps({**found, "training_seconds_now": trained}))


if __name__ == "__main__":
    main()
