"""Your own d3rlpy dataset, from a buffer to a table. Here a controller of one line plays CartPole.

python examples/own_dataset.py
rld-distill distill mine.h5 --task gym/CartPole-v1 --samples 10 --steps 2000 --distance cosine --out mine-10.h5
rld-distill evaluate mine.h5 mine-10.h5 --task gym/CartPole-v1 --students 5 --episodes 20 --out results/mine
rld-distill report results/mine --format md
"""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
from d3rlpy.dataset import MDPDataset

EPISODES = 20


def main(path: Path = Path("mine.h5")) -> None:
    """Plays the episodes and dumps them with d3rlpy alone; put your own arrays in their place."""
    env = gymnasium.make("CartPole-v1")
    rng = np.random.default_rng(0)
    steps = []
    for episode in range(EPISODES):
        observation, _ = env.reset(seed=episode)
        over = False
        while not over:
            falling_right = observation[2] + 0.5 * observation[3] > 0
            action = int(falling_right) if rng.random() > 0.05 else int(rng.integers(2))
            following, reward, terminated, truncated, _ = env.step(action)
            over = terminated or truncated
            steps.append((observation, action, reward, terminated, truncated))
            observation = following
    observations, actions, rewards, terminals, timeouts = map(np.array, zip(*steps, strict=True))
    dataset = MDPDataset(observations, actions, rewards, terminals, timeouts)
    with path.open("w+b") as file:
        dataset.dump(file)
    print(f"{path}: {len(actions):,} steps, mean return {rewards.sum() / EPISODES:.1f}")


if __name__ == "__main__":
    main()
