"""Mean return of the 15 policies that take one action always: what a student that learned nothing may score.

python benchmarks/constant_actions.py bigfish [--episodes 30]
"""

from __future__ import annotations

import argparse

import gym_notices.notices
import numpy as np
import numpy.typing as npt
import torch

from procgen_datasets import GAMES, N_ACTIONS, TRAIN_LEVELS
from procgen_datasets.player import ProcgenPlayer


class ConstantPolicy:
    """Draws from the same probabilities, float ``(15,)``, whatever it sees."""

    def __init__(self, probabilities: npt.NDArray[np.float64]) -> None:
        self._logits = torch.from_numpy(np.log(np.maximum(probabilities, 1e-9))).float()

    def logits(self, observations: torch.Tensor) -> torch.Tensor:
        return self._logits.expand(len(observations), N_ACTIONS)


def main() -> None:
    gym_notices.notices.notices.clear()
    parser = argparse.ArgumentParser()
    parser.add_argument("game", choices=GAMES)
    parser.add_argument("--episodes", type=int, default=30)
    arguments = parser.parse_args()
    player = ProcgenPlayer(arguments.game, {"id": TRAIN_LEVELS}, arguments.episodes, seed=0)
    returns = player.play([ConstantPolicy(one) for one in np.eye(N_ACTIONS)], split="id", mode="greedy")
    for action, row in enumerate(returns):
        print(f"action {action:2}: {row.mean():6.2f}")


if __name__ == "__main__":
    main()
