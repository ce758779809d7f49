"""Frames a second of evaluating 10 of the paper's students at once on starpilot, environments included.

Run: ``python benchmarks/evaluation_speed.py``"""

from __future__ import annotations

import json
import time

import gym_notices.notices

gym_notices.notices.notices.clear()

from d3rlpy_distill import PAPER_SYNTHETIC, paper_student  # noqa: E402
from d3rlpy_distill.evaluation import StudentPolicy  # noqa: E402
from d3rlpy_distill.learner import build_learner  # noqa: E402
from procgen_datasets import TRAIN_LEVELS  # noqa: E402
from procgen_datasets.player import ProcgenPlayer  # noqa: E402

STUDENTS, EPISODES, ROUNDS = 10, 100, 3

if __name__ == "__main__":
    students = [
        StudentPolicy(build_learner(paper_student(PAPER_SYNTHETIC), (3, 64, 64), 15, seed=i))
        for i in range(STUDENTS)
    ]
    player = ProcgenPlayer("starpilot", {"id": TRAIN_LEVELS}, EPISODES, seed=0)
    player.play(students, split="id", mode="sampled")
    speeds = []
    for _ in range(ROUNDS):
        before, start = player.frames_played, time.perf_counter()
        player.play(students, split="id", mode="sampled")
        speeds.append((player.frames_played - before) / (time.perf_counter() - start))
    print(json.dumps({"students": STUDENTS, "frames_per_second": sorted(round(s) for s in speeds)}))
