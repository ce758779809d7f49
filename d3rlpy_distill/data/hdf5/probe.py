"""Reads a whole HDF5 file in a process of its own, which ends by itself: for files without a seal.

The HDF5 library was not made for damaged files: it can turn round for ever, ask for any memory, or crash. Whoever opens
a file that nobody sealed lets this program read it first. It imports nothing of ours, so that it starts at once.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import h5py

try:
    import resource
except ModuleNotFoundError:  # Windows: whoever waits for this process ends it when its time is over
    resource = None  # type: ignore[assignment]

MEMORY = 1 << 30  # beyond what the interpreter has
PIECE = 1 << 24  # bytes read at a time
MAX_CHUNK = 1 << 28
MAX_DEPTH = 8


def main(name: str, seconds: int) -> None:
    """Reads every dataset of the file in at most so many seconds of computing; the exit status says how that ended."""
    if resource is not None:
        _limit(seconds)
    with h5py.File(name, "r", locking=False) as file:
        _read_group(file, 0)


def _limit(seconds: int) -> None:
    limits = {resource.RLIMIT_CPU: seconds, resource.RLIMIT_CORE: 0}
    with contextlib.suppress(OSError):  # only Linux says how much there is already
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limits[resource.RLIMIT_AS] = now + MEMORY
    for kind, value in limits.items():
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _read_group(group: h5py.Group, depth: int) -> None:
    dict(group.attrs)
    for name in group:
        if group.id.links.get_info(name.encode()).type == h5py.h5l.TYPE_HARD:
            member = group[name]
            dict(member.attrs)
            if isinstance(member, h5py.Dataset):
                _read(member)
            elif isinstance(member, h5py.Group) and depth < MAX_DEPTH:
                _read_group(member, depth + 1)


def _read(dataset: h5py.Dataset) -> None:
    """Reads a dataset piece by piece; what lies elsewhere is left to the reader, who refuses it."""
    if dataset.is_virtual or dataset.external or dataset.shape is None:
        return
    rows = dataset.shape[0] if dataset.shape else 0
    if not rows:
        dataset[()]
        return
    row = max(1, dataset.size // rows * dataset.dtype.itemsize)
    step = max(1, PIECE // row)
    if dataset.chunks:
        step = -(-step // dataset.chunks[0]) * dataset.chunks[0]  # no chunk is unpacked twice
    held = dataset.id.get_storage_size()
    if row * rows > held * 1032 or row * step > MAX_CHUNK:
        return  # refused for its size by the reader
    for start in range(0, rows, step):
        dataset[start : start + step]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
