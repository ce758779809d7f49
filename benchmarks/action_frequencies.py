"""Mean return on levels 200-299 of policies that have a dataset's action frequencies and look at nothing.

What a small set can teach in few steps without teaching when: frequencies of the policy to a power, over all
episodes or the best of them, and of the uniform policy.
Run: ``python benchmarks/action_frequencies.py DATASET [--sharpness 1 4 16] [--percent 100 25 10]``"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
from constant_actions import ConstantPolicy
from recorded_dataset import RecordedDataset

from d3rlpy_distill.relabel import sharpen
from d3rlpy_distill.selection import best_episodes
from procgen_datasets import N_ACTIONS, VALIDATION_LEVELS
from procgen_datasets.player import ProcgenPlayer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--sharpness", type=float, nargs="+", default=[1.0, 4.0, 16.0])
    parser.add_argument(
        "--percent", type=float, nargs="+", default=[100.0, 25.0, 10.0], help="of the best episodes"
    )
    parser.add_argument("--episodes", type=int, default=300)
    arguments = parser.parse_args()
    dataset = RecordedDataset.load(arguments.dataset)
    frequencies = {"uniform": np.full(N_ACTIONS, 1 / N_ACTIONS)}
    for percent, sharpness in itertools.product(arguments.percent, arguments.sharpness):
        kept = np.isin(dataset.transitions.episodes, best_episodes(dataset.buffer, percent))
        mean = sharpen(dataset.policy[kept], sharpness).mean(0)
        frequencies[f"best {percent:g}%, sharpness {sharpness:g}"] = mean
    game = dataset.game
    player = ProcgenPlayer(game, {"validation": VALIDATION_LEVELS}, arguments.episodes, seed=1)
    returns = player.play([ConstantPolicy(f) for f in frequencies.values()], split="validation", mode="sampled")
    for name, row in zip(frequencies, returns, strict=True):
        error = row.std(ddof=1) / np.sqrt(row.size)
        record = {"game": game, "frequencies": name, "return": round(row.mean(), 2), "error": round(error, 2)}
        print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
