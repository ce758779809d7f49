"""Frames a second of ``collect``, against one environment with one forward pass at a time and against the
expert's forward pass alone.

Run: ``python -m benchmarks.speed.collect_speed``"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import torch

from procgen_datasets import TRAIN_LEVELS, CollectConfig, ProcgenVecEnv, collect, load_expert

BASELINE_STEPS = 3000
EPISODES = 512
FORWARD_FRAMES = 8192


def one_at_a_time(steps: int) -> float:
    """What a script without any of this does: one environment, one float32 forward pass for each step."""
    network = load_expert("starpilot", dtype=torch.float32).network.to(memory_format=torch.contiguous_format)
    env = ProcgenVecEnv("starpilot", 1, levels=TRAIN_LEVELS, rand_seed=0)
    frames = env.observations()
    kept = []
    start = time.perf_counter()
    with torch.no_grad():
        for _ in range(steps):
            logits = network.policy(network(torch.from_numpy(frames.copy()).float() / 255))
            action = torch.distributions.Categorical(logits=logits).sample().numpy()
            kept.append((frames[0].copy(), int(action[0])))
            frames = env.step(action).observations
    return steps / (time.perf_counter() - start)


def forward_only(count: int) -> dict[int, float]:
    """The expert's forward pass alone, by the size of the batch."""
    expert = load_expert("starpilot")
    speeds = {}
    for batch in (32, 64, 128, 256, 512):
        frames = torch.randint(0, 256, (batch, 64, 64, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
        for _ in range(3):
            expert.logits(frames)
        n = max(1, count // batch)
        start = time.perf_counter()
        for _ in range(n):
            expert.logits(frames)
        speeds[batch] = n * batch / (time.perf_counter() - start)
    return speeds


def collecting(episodes: int) -> float:
    """Playing, compressing and writing."""
    with tempfile.TemporaryDirectory() as directory:
        start = time.perf_counter()
        info = collect(CollectConfig("starpilot", episodes=episodes), Path(directory) / "x.h5")
        return (info.num_transitions or 0) / (time.perf_counter() - start)


def main() -> None:
    single, forward = one_at_a_time(BASELINE_STEPS), forward_only(FORWARD_FRAMES)
    collected = collecting(EPISODES)
    result = {
        "one_at_a_time_fps": round(single, 2),
        "forward_fps": {batch: round(speed) for batch, speed in forward.items()},
        "collect_fps": round(collected, 2),
        "collect_over_one_at_a_time": round(collected / single, 2),
        "collect_over_best_forward": round(collected / max(forward.values()), 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
