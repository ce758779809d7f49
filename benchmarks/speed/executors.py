"""What an executor costs beside the units of work that it runs.

An evaluation on random frames: students are trained, and play Procgen's starpilot. Each job is held from the first unit
to the last. The seconds of all jobs over those that the units took where they ran, less 1, are the overhead: what is
sent, what waits, and jobs that are idle at the end. Starting the workers is timed beside it.

Run: ``python -m benchmarks.speed.executors``, or with ``local`` or ``ray`` alone"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from d3rlpy_distill import Budget, Protocol, distill
from d3rlpy_distill.cores import available_cores
from d3rlpy_distill.evaluation import Place, Stage
from d3rlpy_distill.executors import Board, Branch, Executor, Flow, Tell, Unit, run_flow
from d3rlpy_distill.executors.local import LocalExecutor
from d3rlpy_distill.pipeline import Evaluation, executor_of, plan_evaluation

from .random_frames import random_frames

FRAMES, SAMPLES, STUDENTS, EPISODES = 3000, 150, 10, 5
FULL, SMALL = Budget(100, 64), Budget(200, 15)


def workload() -> Evaluation:
    """Three arms of ten students: all data, random samples, a coreset."""
    dataset = random_frames(FRAMES)
    small = distill(dataset, "random", n_samples=SAMPLES)
    arms = ["bc-100", f"random-{SAMPLES}", f"distilled-{SAMPLES}"]
    return plan_evaluation(
        dataset,
        [small],
        task="procgen/starpilot",
        protocol=Protocol(STUDENTS, EPISODES, FULL, SMALL),
        arms=arms,
        expert="random",
    )


def ready(tell: Tell, seconds: float) -> None:
    """A unit that only shows that a worker has begun."""
    time.sleep(seconds)


def all_ready(jobs: int) -> Flow[None]:
    """Keeps every place busy once."""

    def one(name: str) -> Flow[None]:
        yield [Unit(name, ready, (1.0,))]

    yield [Branch(one(f"ready {i}")) for i in range(jobs)]


def overhead(executor: Executor, jobs: int, plan: Evaluation) -> dict[str, Any]:
    """Returns the overhead of one evaluation, and what it is made of, in seconds."""
    begun = time.perf_counter()
    board = Board(lambda what, done, total: None)
    with tempfile.TemporaryDirectory() as directory, executor.open(board) as pool:
        run_flow(all_ready(jobs), pool, board)
        started = time.perf_counter()
        before = board.busy
        stage, place = Stage(pool, plan.task, plan.dataset), Place(pool, board)
        run_flow(plan.flow(Path(directory) / "evaluation", stage, place), pool, board)
        wall, busy = time.perf_counter() - started, board.busy - before
    return {
        "jobs": jobs,
        "start_seconds": round(started - begun, 2),
        "wall_seconds": round(wall, 2),
        "unit_seconds": round(busy, 2),
        "overhead": round(jobs * wall / busy - 1, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("executors", nargs="*", default=["local", "ray"], metavar="EXECUTOR")
    parser.add_argument("--jobs", type=int, default=available_cores())
    given = parser.parse_args()
    plan = workload()
    for name in given.executors:
        executor = LocalExecutor(jobs=given.jobs) if name == "local" else executor_of(name)
        print(json.dumps({"executor": name, **overhead(executor, given.jobs, plan)}))


if __name__ == "__main__":
    main()
