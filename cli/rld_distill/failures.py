"""What a command says of errors that are not the library's own."""

from __future__ import annotations

import errno
import sys
import traceback
from pathlib import Path

from .standard import StandardOutputError

__all__ = ["explain", "is_out_of_memory"]

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_MEMORY = (
    "cannot allocate memory",  # the loader of shared libraries, and the system
    "failed to map segment from shared object",  # likewise
    "can't start new thread",
    "error return without exception set",  # a C extension that did not see that its allocation failed
)


def is_out_of_memory(error: BaseException) -> bool:
    """Tells whether an error means that memory, or threads, ran out; also while the packages are imported."""
    if isinstance(error, MemoryError) or any(said in str(error).lower() for said in NO_MEMORY):
        return True
    memory = sys.modules.get("d3rlpy_distill.memory")  # only what is imported can have failed
    return memory is not None and bool(memory.is_allocation_error(error))


def explain(error: BaseException) -> str:
    """Returns the one line that a command prints of an error that is not the library's own."""
    text = " ".join(str(error).split())
    if is_out_of_memory(error):
        return (
            "out of memory: free some, raise the limit that 'ulimit -v' shows, use a machine with more, or ask for "
            "less at a time (--jobs, --samples, --students)."
        )
    if isinstance(error, StandardOutputError):
        return f"{text}; what the command made is kept."
    if isinstance(error, OSError):
        if error.errno in NO_SPACE or any(f"errno = {number}," in text for number in NO_SPACE):
            return (
                "no space left for the output; nothing of it was kept: free some space and run the command again."
            )
        if error.filename is None or error.strerror is None:
            return text
        named = " ".join(str(error.filename).split())
        return f"{named} cannot be used: {error.strerror.lower()}; give another path, or change its rights."
    if (place := _in_plugin(error)) is not None:
        return f"{place} fails: {type(error).__name__}: {text}"
    return (
        f"internal error ({type(error).__name__}: {text}): please report it, with what 'rld-distill --debug' and the "
        "rest of the command print."
    )


def _in_plugin(error: BaseException) -> str | None:
    """File and line of a plug-in that the error comes from; None where it comes from none."""
    registry = sys.modules.get("d3rlpy_distill.registry")
    if registry is None:
        return None
    files = {str(path) for path in registry.loaded_plugins()}
    places = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    found = next(((file, line) for file, line in reversed(places) if str(Path(file).resolve()) in files), None)
    return None if found is None else f"--plugin {found[0]}, line {found[1]},"
