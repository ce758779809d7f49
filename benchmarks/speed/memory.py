"""Resident memory of each command at 25 thousand, 100 thousand and a million transitions, and batches from a file.

For each size a random policy plays starpilot, and its episodes are put into an archive of gen_dgrl's layout. Then each
command runs in a process of its own: collect, import, distill (5 steps), evaluate (2 students, 4 episodes, 2 jobs) and
report. Two figures stand for each, in MiB: the peak of the largest process (``VmHWM``), and the largest sum over the
command's processes at one moment (``VmRSS``, which counts what they share once for each).

Batches of 256 transitions are drawn in turns from the mapped file and from memory, as students are trained on them:
scaled tensors. Beside it stands the bare copying of their frames. The ratios are of the medians.

It needs 30 GB of disk and an hour. Run: ``python -m benchmarks.speed.memory``, or with some of the sizes:
``python -m benchmarks.speed.memory 25000 100000 --directory /scratch``"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from d3rlpy_distill import OfflineDataset
from d3rlpy_distill.data import TransitionArrays, read_episodes
from d3rlpy_distill.learners.learner import build_learner
from d3rlpy_distill.learners.training import make_batch
from d3rlpy_distill.students.paper import PaperStudent

SIZES = (25_000, 100_000, 1_000_000)
STEPS = 75  # that a random policy's episode has at least, on average
BATCH, BATCHES, ROUNDS = 256, 100, 9
IN_MEMORY = 200_000  # transitions that are also loaded into memory, to draw from them there
WAIT = 0.02


def statuses(root: int) -> list[dict[str, int]]:
    """What the system says of a process and of those that it has started, in KiB."""
    pids, found = [root], []
    for pid in pids:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            found.append({line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")})
            for task in Path(f"/proc/{pid}/task").iterdir():
                pids += map(int, (task / "children").read_text().split())
    return found


def run(*arguments: str | Path) -> dict[str, float]:
    """Runs a command and returns its peaks in MiB, and its seconds."""
    start, largest, together = time.perf_counter(), 0, 0
    command = [sys.executable, "-m", "rld_distill", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            seen = [one for one in statuses(process.pid) if "VmRSS" in one]
            largest = max([largest, *(one["VmHWM"] for one in seen)])
            together = max(together, sum(one["VmRSS"] for one in seen))
            time.sleep(WAIT)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)}:\n{process.stderr.read() if process.stderr else ''}")
    return {
        "largest_mib": largest >> 10,
        "together_mib": together >> 10,
        "seconds": round(time.perf_counter() - start, 1),
    }


def write_archive(dataset: Path, archive: Path) -> None:
    """Writes a dataset's episodes as gen_dgrl publishes them, one after the other."""
    with tarfile.open(archive, "w:xz", preset=0) as tar:
        for i, episode in enumerate(read_episodes(dataset)):
            length = len(episode.actions)
            dones = np.zeros(length, np.bool_)
            dones[-1] = True
            value = {
                "observations": episode.observations,
                "actions": episode.actions.astype(np.int64)[:, None],
                "rewards": episode.rewards.astype(np.float64)[:, None],
                "dones": dones,
            }
            file = io.BytesIO()
            np.save(file, np.array(value, dtype=object), allow_pickle=True)
            level, total = int(episode.info["level_seed"]), episode.rewards.sum(dtype=np.float64)
            info = tarfile.TarInfo(f"starpilot/20240101T000000_{i}_{length}_{level}_{total:.2f}.npy")
            info.size = file.tell()
            file.seek(0)
            tar.addfile(info, file)


def batches_per_second(
    sources: dict[str, TransitionArrays], draw: Callable[[TransitionArrays, npt.NDArray[np.int64]], object]
) -> dict[str, float]:
    """The median over rounds in which each source has its turn."""
    rng = np.random.default_rng(0)
    seconds: dict[str, list[float]] = {name: [] for name in sources}
    for _ in range(ROUNDS):
        for name, source in sources.items():
            drawn = rng.integers(len(source), size=(BATCHES, BATCH))
            start = time.perf_counter()
            for index in drawn:
                draw(source, index)
            seconds[name].append(time.perf_counter() - start)
    return {name: BATCHES / float(np.median(each)) for name, each in seconds.items()}


def opening(load: Callable[[], OfflineDataset]) -> tuple[OfflineDataset, float]:
    start = time.perf_counter()
    dataset = load()
    return dataset, round(time.perf_counter() - start, 2)


def drawing(path: Path, inside: Path) -> dict[str, float]:
    """Opens a dataset twice, and compares its batches with those of ``inside``, which is read into memory."""
    _, first = opening(lambda: OfflineDataset.load(path, mapped=True))
    mapped, again = opening(lambda: OfflineDataset.load(path, mapped=True))
    held, loading = opening(lambda: OfflineDataset.load(inside, mapped=False))
    sources = {"mapped": mapped.transitions, "memory": held.transitions}
    learner = build_learner(PaperStudent().learner(held), held.observation_shape, held.action_size, seed=0)
    speed = batches_per_second(sources, lambda data, index: make_batch(learner, data, index))
    bare = batches_per_second(sources, lambda data, index: data.observations[index])
    return {
        "first_opening_seconds": first,
        "opening_seconds": again,
        "opening_over_loading": round(again / loading, 2),
        "batches_per_second": round(speed["mapped"], 1),
        "of_memory": round(speed["mapped"] / speed["memory"], 2),
        "copies_of_memory": round(bare["mapped"] / bare["memory"], 2),
    }


def measure(size: int, directory: Path, inside: Path | None) -> tuple[dict[str, Any], Path]:
    """Everything at one size; returns also the file to draw from in memory at larger ones."""
    path, archive, small, results = (directory / f"{size}{end}" for end in (".h5", ".tar.xz", "-150.h5", ""))
    game = ("starpilot", "--expert", "random", "--episodes", str(size // STEPS))
    found: dict[str, Any] = {"collect": run("collect", *game, "--out", path)}
    write_archive(path, archive)
    imported = directory / f"{size}-imported.h5"
    found["import"] = run("import", "gen-dgrl", archive, "--game", "starpilot", "--out", imported)
    archive.unlink()
    imported.unlink()
    found["distill"] = run("distill", path, "--steps", "5", "--out", small)
    few = ("--students", "2", "--episodes", "4", "--full-steps", "20", "--small-steps", "20")
    found["evaluate"] = run(
        "evaluate", path, small, *few, "--converged-steps", "20", "--jobs", "2", "--out", results
    )
    found["report"] = run("report", results, "--format", "html", "--out", directory / f"{size}.html")
    inside = path if size <= IN_MEMORY or inside is None else inside
    found["drawing"] = drawing(path, inside)
    return {"transitions": len(OfflineDataset.load(path)), **found}, inside


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--directory", type=Path, help="Where to work; what is made there is removed.")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        inside = None
        for size in arguments.sizes:
            found, inside = measure(size, Path(directory), inside)
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
