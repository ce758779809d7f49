"""Frames a second of evaluating 10 of the paper's students at once, environments included, and what it gains that
the last episodes go on in smaller batches.

Run: ``python -m benchmarks.speed.evaluation_speed starpilot``, ``... bigfish``"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from collections.abc import Sequence
from typing import Any

from d3rlpy_distill import PAPER_SMALL
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


def compare(game: str, n_students: int, episodes: int, rounds: int) -> dict[str, list[int]]:
    """Returns frames a second of every round, with and without smaller batches in the end."""
    engine: Any = importlib.import_module("procgen_datasets.rollout")  # a function is called so too
    students = untrained(n_students)
    player = ProcgenPlayer(game, {"id": TRAIN_LEVELS}, episodes, seed=0)
    frames_per_second(player, students)
    speeds: dict[str, list[int]] = {"smaller_batches": [], "one_batch": []}
    fewest = {"smaller_batches": engine.FEWEST, "one_batch": n_students * episodes}
    for _ in range(rounds):
        for name, found in speeds.items():
            engine.FEWEST = fewest[name]
            found.append(round(frames_per_second(player, students)))
    return speeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("game", nargs="?", choices=GAMES, default="starpilot")
    game = parser.parse_args().game
    speeds = compare(game, STUDENTS, EPISODES, ROUNDS)
    print(json.dumps({"game": game, "students": STUDENTS, "frames_per_second": speeds}))


if __name__ == "__main__":
    main()
