"""Size and loading time of a dataset against d3rlpy's own dump of it; loading from the page cache and from disk.

Run: ``python -m benchmarks.speed.file_size data/starpilot.h5``"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer, load

from d3rlpy_distill.data import load_dataset

ROUNDS = 5


def load_dump(path: Path, action_size: int) -> None:
    with path.open("rb") as file:
        ReplayBuffer(InfiniteBuffer(), episodes=load(Episode, file), action_size=action_size)


def drop_from_cache(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def median_seconds(loader: Callable[[Path], object], path: Path, *, cold: bool) -> float:
    times = []
    for _ in range(ROUNDS):
        if cold:
            drop_from_cache(path)
        start = time.perf_counter()
        loader(path)
        times.append(time.perf_counter() - start)
    return sorted(times)[ROUNDS // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    ours: Path = parser.parse_args().dataset
    buffer, info = load_dataset(ours)
    with tempfile.TemporaryDirectory(dir=ours.parent) as directory:
        dump = Path(directory) / "dump.h5"
        with dump.open("w+b") as file:
            buffer.dump(file)
        result = {"size_over_dump": round(ours.stat().st_size / dump.stat().st_size, 3)}
        for name, cold in (("cached", False), ("disk", True)):
            mine = median_seconds(load_dataset, ours, cold=cold)
            theirs = median_seconds(lambda path: load_dump(path, info.action_size), dump, cold=cold)
            result |= {
                f"load_{name}_seconds": round(mine, 3),
                f"load_{name}_dump_seconds": round(theirs, 3),
                f"load_{name}_over_dump": round(mine / theirs, 2),
            }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
