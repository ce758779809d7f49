"""Size and loading time of a dataset against d3rlpy's own dump of it; loading from the page cache and from disk.

Run: ``python benchmarks/file_size.py data/starpilot.h5``"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import gym_notices.notices
import structlog

gym_notices.notices.notices.clear()
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))

from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer, load  # noqa: E402

from procgen_datasets import load_dataset  # noqa: E402

ROUNDS = 5


def load_dump(path: Path) -> None:
    with path.open("rb") as file:
        ReplayBuffer(InfiniteBuffer(), episodes=load(Episode, file), action_size=15)


def drop_from_cache(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def best_seconds(loader: Callable[[Path], object], path: Path, *, cold: bool) -> float:
    times = []
    for _ in range(ROUNDS):
        if cold:
            drop_from_cache(path)
        start = time.perf_counter()
        loader(path)
        times.append(time.perf_counter() - start)
    return sorted(times)[ROUNDS // 2]


if __name__ == "__main__":
    ours = Path(sys.argv[1])
    buffer, _ = load_dataset(ours)
    with tempfile.TemporaryDirectory(dir=ours.parent) as directory:
        dump = Path(directory) / "dump.h5"
        with dump.open("w+b") as file:
            buffer.dump(file)
        result = {"size_over_dump": round(ours.stat().st_size / dump.stat().st_size, 3)}
        for name, cold in (("cached", False), ("disk", True)):
            mine = best_seconds(load_dataset, ours, cold=cold)
            theirs = best_seconds(load_dump, dump, cold=cold)
            result |= {
                f"load_{name}_seconds": round(mine, 3),
                f"load_{name}_dump_seconds": round(theirs, 3),
                f"load_{name}_over_dump": round(mine / theirs, 2),
            }
    print(json.dumps(result))
