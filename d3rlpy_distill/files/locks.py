"""Advisory locks of open files, which the system releases when the process ends, however it ends."""

from __future__ import annotations

import errno

try:
    import fcntl
except ModuleNotFoundError:  # Windows: files are still created exclusively, but nobody is told who writes
    fcntl = None  # type: ignore[assignment]

__all__ = ["lock"]

UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def lock(descriptor: int) -> bool:
    """Locks an open file for this process; False if another one holds it.

    Where the file system knows no locks (some network ones), everybody gets it.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    return True
