"""Mean return on levels 200-299 of policies that have a dataset's action frequencies and look at nothing.

What a small set can teach in few steps without teaching when: frequencies of the policy to a power, over all
episodes or the best of them, and of the uniform policy.
Run: ``python -m benchmarks.findings.action_frequencies DATASET [--sharpness 1 4 16] [--percent 100 25 10]``"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np

from d3rlpy_distill import OfflineDataset, make_task
from d3rlpy_distill.data.relabel import sharpen

from .constant_policy import ConstantPolicy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--sharpness", type=float, nargs="+", default=[1.0, 4.0, 16.0])
    parser.add_argument(
        "--percent", type=float, nargs="+", default=[100.0, 25.0, 10.0], help="of the best episodes"
    )
    parser.add_argument("--episodes", type=int, default=300)
    arguments = parser.parse_args()
    dataset = OfflineDataset.load(arguments.dataset)
    assert dataset.policy is not None and dataset.task is not None
    frequencies = {"uniform": np.full(dataset.action_size, 1 / dataset.action_size)}
    for percent, sharpness in itertools.product(arguments.percent, arguments.sharpness):
        _, rows = dataset.best(percent)
        mean = sharpen(dataset.policy[rows], sharpness).mean(0)
        frequencies[f"best {percent:g}%, sharpness {sharpness:g}"] = mean
    policies = [ConstantPolicy(one) for one in frequencies.values()]
    returns = make_task(dataset.task).play(
        policies, split="validation", mode="sampled", episodes=arguments.episodes, seed=1
    )
    for name, row in zip(frequencies, returns, strict=True):
        error = row.std(ddof=1) / np.sqrt(row.size)
        record = {
            "task": dataset.task,
            "frequencies": name,
            "return": round(row.mean(), 2),
            "error": round(error, 2),
        }
        print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
