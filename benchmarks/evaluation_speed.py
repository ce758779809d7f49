"""Frames a second of evaluating 10 of the paper's students at once, environments included, and what it gains that
the last episodes go on in smaller batches.

Run: ``python benchmarks/evaluation_speed.py starpilot``, ``... bigfish``"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from collections.abc import Sequence
from typing import Any

import gym_notices.notices

gym_notices.notices.notices.clear()

from d3rlpy_distill import PAPER_SYNTHETIC, paper_student  # noqa: E402
from d3rlpy_distill.evaluation import StudentPolicy  # noqa: E402
from d3rlpy_distill.learner import build_learner  # noqa: E402
from procgen_datasets import TRAIN_LEVELS  # noqa: E402
from procgen_datasets.player import ProcgenPlayer  # noqa: E402

STUDENTS, EPISODES, ROUNDS = 10, 100, 3


def frames_per_second(player: ProcgenPlayer, students: Sequence[StudentPolicy]) -> float:
    before, start = player.frames_played, time.perf_counter()
    player.play(students, split="id", mode="sampled")
    return (player.frames_played - before) / (time.perf_counter() - start)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("game", nargs="?", default="starpilot")
    game = parser.parse_args().game
    engine: Any = importlib.import_module("procgen_datasets.rollout")  # a function is called so too
    students = [
        StudentPolicy(build_learner(paper_student(PAPER_SYNTHETIC), (3, 64, 64), 15, seed=i))
        for i in range(STUDENTS)
    ]
    player = ProcgenPlayer(game, {"id": TRAIN_LEVELS}, EPISODES, seed=0)
    frames_per_second(player, students)
    speeds: dict[str, list[int]] = {"smaller_batches": [], "one_batch": []}
    fewest = {"smaller_batches": engine.FEWEST, "one_batch": STUDENTS * EPISODES}
    for _ in range(ROUNDS):
        for name, found in speeds.items():
            engine.FEWEST = fewest[name]
            found.append(round(frames_per_second(player, students)))
    print(json.dumps({"game": game, "students": STUDENTS, "frames_per_second": speeds}))
