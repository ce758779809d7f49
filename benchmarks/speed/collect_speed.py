"""Frames a second of ``collect``, against one environment with one forward pass at a time and against the
expert's forward pass alone; and what no schedule of its parts could exceed.

``processor_us_a_frame`` is the processor time of each part by itself: the forward pass at its best batch, the games,
compressing and writing. If all cores did nothing else and never waited, they would collect ``at_most_fps``.

Run: ``python -m benchmarks.speed.collect_speed``"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from d3rlpy_distill.cores import available_cores
from d3rlpy_distill.data import EpisodeWriter, read_episodes, read_info
from procgen_datasets import TRAIN_LEVELS, CollectConfig, ProcgenVecEnv, collect, load_expert

BASELINE_STEPS = 3000
EPISODES = 512
FEW_EPISODES = 64
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


def forward_only(count: int) -> dict[int, tuple[float, float]]:
    """Frames a second of the expert's forward pass alone and its processor seconds a frame, by the batch's size."""
    expert = load_expert("starpilot")
    found = {}
    for batch in (32, 64, 128, 256, 512):
        frames = torch.randint(0, 256, (batch, 64, 64, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
        for _ in range(3):
            expert.logits(frames)
        n = max(1, count // batch)
        start, processor = time.perf_counter(), time.process_time()
        for _ in range(n):
            expert.logits(frames)
        frames_played = n * batch
        found[batch] = (
            frames_played / (time.perf_counter() - start),
            (time.process_time() - processor) / frames_played,
        )
    return found


def playing(slots: int, steps: int) -> float:
    """Processor seconds a frame of the games alone, whose threads count."""
    env, rng = ProcgenVecEnv("starpilot", slots, levels=TRAIN_LEVELS, rand_seed=0), np.random.default_rng(0)
    actions = rng.integers(15, size=(steps, slots)).astype(np.int32)
    env.observations()
    processor = time.process_time()
    for one in actions:
        env.step(one)
    return (time.process_time() - processor) / actions.size


def writing(source: Path) -> float:
    """Processor seconds a frame of compressing and writing what was collected."""
    episodes, provenance = list(read_episodes(source)), read_info(source).provenance
    assert provenance is not None
    with tempfile.TemporaryDirectory() as directory:
        processor = time.process_time()
        with EpisodeWriter(Path(directory) / "x.h5", provenance) as writer:
            for episode in episodes:
                writer.write(episode)
        return (time.process_time() - processor) / sum(len(one.actions) for one in episodes)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    single, forward = one_at_a_time(BASELINE_STEPS), forward_only(FORWARD_FRAMES)
    with tempfile.TemporaryDirectory() as directory:
        path, start = Path(directory) / "x.h5", time.perf_counter()
        info = collect(CollectConfig("starpilot", episodes=EPISODES), path)
        collected = (info.num_transitions or 0) / (time.perf_counter() - start)
        few = Path(directory) / "few.h5"
        collect(CollectConfig("starpilot", episodes=FEW_EPISODES), few)
        processor = {
            "forward": min(seconds for _, seconds in forward.values()),
            "games": playing(64, 500),
            "writing": writing(few),
        }
    best, at_most = max(speed for speed, _ in forward.values()), available_cores() / sum(processor.values())
    result = {
        "one_at_a_time_fps": round(single),
        "forward_fps": {batch: round(speed) for batch, (speed, _) in forward.items()},
        "collect_fps": round(collected),
        "collect_over_one_at_a_time": round(collected / single, 2),
        "collect_over_best_forward": round(collected / best, 2),
        "processor_us_a_frame": {part: round(1e6 * seconds, 1) for part, seconds in processor.items()},
        "at_most_fps": round(at_most),
        "at_most_over_one_at_a_time": round(at_most / single, 2),
        "at_most_over_best_forward": round(at_most / best, 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
