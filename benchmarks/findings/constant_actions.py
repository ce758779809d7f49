"""Mean return of the 15 policies that take one action always: what a student that learned nothing may score.

Run: ``python -m benchmarks.findings.constant_actions bigfish [--episodes 30]``"""

from __future__ import annotations

import argparse

import numpy as np

from procgen_datasets import GAMES, N_ACTIONS, ProcgenTask

from .constant_policy import ConstantPolicy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("game", choices=GAMES)
    parser.add_argument("--episodes", type=int, default=30)
    arguments = parser.parse_args()
    policies = [ConstantPolicy(one) for one in np.eye(N_ACTIONS)]
    returns = ProcgenTask(arguments.game).play(
        policies, split="id", mode="greedy", episodes=arguments.episodes, seed=0
    )
    for action, row in enumerate(returns):
        print(f"action {action:2}: {row.mean():6.2f}")


if __name__ == "__main__":
    main()
