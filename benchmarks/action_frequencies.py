"""Mean return on levels 200-299 of policies that have a dataset's action frequencies and look at nothing.

What a small set can teach in few steps without teaching when: frequencies of the policy to a power, over all
episodes or the best of them, and of the uniform policy.
Run: ``python benchmarks/action_frequencies.py DATASET [--sharpness 1 4 16] [--percent 100 25 10]``"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import gym_notices.notices
import numpy as np
import structlog
from constant_actions import ConstantPolicy

from d3rlpy_distill import TransitionArrays
from d3rlpy_distill.relabel import sharpen, transition_probabilities
from d3rlpy_distill.selection import best_episodes
from procgen_datasets import N_ACTIONS, VALIDATION_LEVELS, load_dataset
from procgen_datasets.hdf5 import read_extras
from procgen_datasets.player import ProcgenPlayer


def main() -> None:
    gym_notices.notices.notices.clear()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--sharpness", type=float, nargs="+", default=[1.0, 4.0, 16.0])
    parser.add_argument(
        "--percent", type=float, nargs="+", default=[100.0, 25.0, 10.0], help="of the best episodes"
    )
    parser.add_argument("--episodes", type=int, default=300)
    arguments = parser.parse_args()
    buffer, info = load_dataset(arguments.dataset)
    assert info.provenance is not None
    data = TransitionArrays.from_buffer(buffer)
    recorded = read_extras(arguments.dataset, "steps")["action_probabilities"]
    policy = transition_probabilities(buffer, data, recorded)
    frequencies = {"uniform": np.full(N_ACTIONS, 1 / N_ACTIONS)}
    for percent, sharpness in itertools.product(arguments.percent, arguments.sharpness):
        kept = np.isin(data.episodes, best_episodes(buffer, percent))
        frequencies[f"best {percent:g}%, sharpness {sharpness:g}"] = sharpen(policy[kept], sharpness).mean(0)
    game = info.provenance.game
    player = ProcgenPlayer(game, {"validation": VALIDATION_LEVELS}, arguments.episodes, seed=1)
    returns = player.play([ConstantPolicy(f) for f in frequencies.values()], split="validation", mode="sampled")
    for name, row in zip(frequencies, returns, strict=True):
        error = row.std(ddof=1) / np.sqrt(row.size)
        record = {"game": game, "frequencies": name, "return": round(row.mean(), 2), "error": round(error, 2)}
        print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
