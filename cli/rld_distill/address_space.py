"""The least address space that the packages start in."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["too_little_address_space"]

PACKAGES = 13 << 27
"""Bytes that torch, SciPy and the others map, 0.9 GB, and that their threads map at work.

With less, some of them end the process where they get no memory, and say nothing: 1.6 GB on two cores were too little.
"""

THREAD = 1 << 26  # of each thread that OpenBLAS makes, NumPy's and SciPy's


def too_little_address_space() -> str | None:
    """Returns what to say where 'ulimit -v' leaves too little to start in; None where there is enough.

    OpenBLAS asks again and again for memory that it does not get, so that importing SciPy would never end.
    """
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return None
        left = limit - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        needed = PACKAGES + THREAD * len(os.sched_getaffinity(0))
    except (ModuleNotFoundError, AttributeError, OSError):  # another system than Linux
        return None
    if left >= needed:
        return None
    return (
        f"out of memory: 'ulimit -v' leaves {max(left, 0) / 1e9:.1f} GB, and torch and the other packages alone need "
        f"{needed / 1e9:.1f} GB: raise it."
    )
