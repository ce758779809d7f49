"""How much memory this process may take: what is free, and a limit around reading a file that nobody vouches for."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from .errors import TooLargeError

__all__ = ["check_fits", "free_memory", "is_allocation_error", "memory_errors", "memory_limit"]

NO_MEMORY = (
    "can't allocate memory",  # torch's allocator
    "not enough memory",  # the same on Windows
    "out of memory",  # CUDA
    "could not create a primitive",  # oneDNN
    "could not create a memory object",  # likewise
    "memory allocation failed",  # HDF5
    "std::bad_alloc",
)


def is_allocation_error(error: BaseException) -> bool:
    """Tells whether an error of a library's means that memory ran out; few of them raise ``MemoryError``."""
    return isinstance(error, MemoryError) or any(said in str(error).lower() for said in NO_MEMORY)


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Around reading a file: what means that memory ran out is a ``MemoryError``, and no word against the file."""
    try:
        yield
    except Exception as error:
        if isinstance(error, MemoryError) or not is_allocation_error(error):
            raise
        raise MemoryError(str(error)) from error


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


def free_memory() -> int | None:
    """Returns the bytes that this process can still take: what the machine has free, or less by a limit.

    Limits are the process's own, and those of the control groups that it is in, as of a container or a Slurm job.

    None where the system does not say it.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
        import resource

        free = min([free, *_left_to_groups()])
        limits = {resource.RLIMIT_DATA: _held(), resource.RLIMIT_AS: _address_space()}
    except (OSError, StopIteration, ModuleNotFoundError):
        return None
    for kind, held in limits.items():
        soft = resource.getrlimit(kind)[0]
        if soft != resource.RLIM_INFINITY:
            free = min(free, soft - held)
    return max(free, 0)


CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def _left_to_groups() -> Iterator[int]:
    """Yields what is left of each limit of a control group that the process is in, or of one above it.

    Version 2 of Linux's control groups has one tree, version 1 one of memory alone. What the group has cached of files
    counts as free: the system gives it up first.
    """
    try:
        lines = MEMBERSHIP.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root = CGROUPS / controllers
        names = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        )
        inside = root / path.lstrip("/")
        for group in (inside, *inside.parents):
            if not group.is_relative_to(root):
                break
            with contextlib.suppress(OSError, ValueError):  # no such file, or "max": no limit there
                limit, used = (int((group / name).read_text()) for name in names)
                yield limit - used + _cached(group)


def _cached(group: Path) -> int:
    """Bytes of files that a group, with those below it, holds and has not read lately."""
    told = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    return int(told.get("total_inactive_file", told.get("inactive_file", 0)))  # version 1 has both


def check_fits(what: str, size: int) -> None:
    """Refuses to read more than the memory holds, before the system ends the process for it.

    Args:
        what: The file, for the message.
        size: Bytes that reading it takes.

    Raises:
        TooLargeError: If there are not as many free.
    """
    free = free_memory()
    if free is not None and size > free:
        raise TooLargeError(
            f"{what} takes {size / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free: use a machine with "
            "more, or a dataset of fewer episodes."
        )


def _address_space() -> int:
    """Returns the bytes that ``RLIMIT_AS`` counts."""
    import resource

    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _held() -> int:
    """Returns the bytes that ``RLIMIT_DATA`` counts."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no line 'VmData': its format is not Linux's.")
