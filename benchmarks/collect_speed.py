"""Frames a second of ``collect``, against one environment with one forward pass at a time and against the
expert's forward pass alone.  Run: ``python benchmarks/collect_speed.py``"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import gym_notices.notices
import numpy as np
import torch

gym_notices.notices.notices.clear()

from procgen_datasets import TRAIN_LEVELS, CollectConfig, ProcgenVecEnv, collect, load_expert  # noqa: E402

BASELINE_STEPS = 3000
EPISODES = 512


def one_at_a_time() -> float:
    """What a script without any of this does: one environment, one float32 forward pass for each step."""
    network = load_expert("starpilot", dtype=torch.float32).network.to(memory_format=torch.contiguous_format)
    env = ProcgenVecEnv("starpilot", 1, levels=TRAIN_LEVELS, rand_seed=0)
    frames = env.observations()
    kept = []
    start = time.perf_counter()
    with torch.no_grad():
        for _ in range(BASELINE_STEPS):
            logits = network.policy(network(torch.from_numpy(frames.copy()).float() / 255))
            action = torch.distributions.Categorical(logits=logits).sample().numpy()
            kept.append((frames[0].copy(), int(action[0])))
            frames = env.step(action).observations
    return BASELINE_STEPS / (time.perf_counter() - start)


def forward_only() -> dict[int, float]:
    expert = load_expert("starpilot")
    speeds = {}
    for batch in (32, 64, 128, 256, 512):
        frames = torch.randint(0, 256, (batch, 64, 64, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
        for _ in range(3):
            expert.logits(frames)
        n = 8192 // batch
        start = time.perf_counter()
        for _ in range(n):
            expert.logits(frames)
        speeds[batch] = n * batch / (time.perf_counter() - start)
    return speeds


def collecting() -> float:
    with tempfile.TemporaryDirectory() as directory:
        start = time.perf_counter()
        info = collect(CollectConfig("starpilot", episodes=EPISODES), Path(directory) / "x.h5")
        return (info.num_transitions or 0) / (time.perf_counter() - start)


if __name__ == "__main__":
    single, forward, collected = one_at_a_time(), forward_only(), collecting()
    best = max(forward.values())
    result = {
        "one_at_a_time_fps": single,
        "forward_fps": forward,
        "collect_fps": collected,
        "collect_over_one_at_a_time": collected / single,
        "collect_over_best_forward": collected / best,
    }
    print(json.dumps({k: v if isinstance(v, dict) else round(float(np.float64(v)), 2) for k, v in result.items()}))
