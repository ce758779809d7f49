"""Frames a second of evaluating 10 of the paper's students at once, environments included, and what it gains that
the last episodes go on in smaller batches.

Run: ``python -m benchmarks.speed.evaluation_speed starpilot``, ``... bigfish``"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from d3rlpy_distill import PAPER_SMALL
from d3rlpy_distill.cores import available_cores, on_cores
from d3rlpy_distill.learners.learner import build_learner
from d3rlpy_distill.students.cloning import ImitatorPolicy
from d3rlpy_distill.students.paper import PaperStudent
from procgen_datasets import GAMES, TRAIN_LEVELS, ProcgenPlayer

from .random_frames import random_frames

STUDENTS, EPISODES, ROUNDS = 10, 100, 3


def untrained(count: int) -> list[ImitatorPolicy]:
    """Returns students of the paper as they are initialised."""
    dataset = random_frames(1)
    config = PaperStudent().learner(dataset, PAPER_SMALL)
    shape, size = dataset.observation_shape, dataset.action_size
    return [ImitatorPolicy(build_learner(config, shape, size, seed=i)) for i in range(count)]


def frames_per_second(player: ProcgenPlayer, students: Sequence[ImitatorPolicy]) -> float:
    before, start = player.frames_played, time.perf_counter()
    player.play(students, split="id", mode="sampled")
    return (player.frames_played - before) / (time.perf_counter() - start)


def compare(game: str, n_students: int, episodes: int, rounds: int, cores: int) -> dict[str, list[int]]:
    """Returns frames a second of every round, with and without smaller batches in the end, of this process."""
    engine: Any = importlib.import_module("procgen_datasets.rollout")  # a function is called so too
    speeds: dict[str, list[int]] = {"smaller_batches": [], "one_batch": []}
    fewest = {"smaller_batches": engine.FEWEST, "one_batch": n_students * episodes}
    with on_cores(cores):  # as a unit of evaluate's runs
        students = untrained(n_students)
        player = ProcgenPlayer(game, {"id": TRAIN_LEVELS}, episodes, seed=0)
        frames_per_second(player, students)
        for _ in range(rounds):
            for name, found in speeds.items():
                engine.FEWEST = fewest[name]
                found.append(round(frames_per_second(player, students)))
    return speeds


def side_by_side(jobs: int, game: str, n_students: int, episodes: int, rounds: int) -> dict[str, list[int]]:
    """Returns what that many processes with one core each make in a second, all together."""
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        running = [pool.submit(compare, game, n_students, episodes, rounds, 1) for _ in range(jobs)]
        every = [one.result() for one in running]
    return {name: [sum(one) for one in zip(*(speeds[name] for speeds in every), strict=True)] for name in every[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("game", nargs="?", choices=GAMES, default="starpilot")
    parser.add_argument("--jobs", type=int, default=available_cores())
    given = parser.parse_args()
    measured = (given.game, STUDENTS, EPISODES, ROUNDS)
    speeds = compare(*measured, available_cores()) if given.jobs == 1 else side_by_side(given.jobs, *measured)
    told = {"game": given.game, "students": STUDENTS, "jobs": given.jobs}
    print(json.dumps({**told, "frames_per_second": speeds}))


if __name__ == "__main__":
    main()
