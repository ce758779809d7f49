"""A limit on the memory of this process, as a second wall around reading a file that nobody vouches for."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["memory_limit"]


@contextlib.contextmanager
def memory_limit(extra: int) -> Iterator[None]:
    """Lets this process take ``extra`` bytes more than it holds now; what goes beyond raises ``MemoryError``.

    The limit is Linux's ``RLIMIT_DATA``, which counts heap and private writable mappings, so that NumPy's, lzma's and
    HDF5's memory is counted too. ``RLIMIT_AS`` would count address space, of which CUDA and thread pools reserve
    far more than they use. It holds for all threads of the process: set it in a command, not in a library function.
    A lower limit that stands already is kept. On other systems than Linux nothing is limited.

    Args:
        extra: Bytes.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _held() + extra
    for other in (soft, hard):
        if other != resource.RLIM_INFINITY:
            limit = min(limit, other)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _held() -> int:
    """Returns the bytes that ``RLIMIT_DATA`` counts."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no line 'VmData': its format is not Linux's.")
