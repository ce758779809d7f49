"""Entry point of the ``rld-distill`` script: what holds for the whole process, from before anything is imported."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from .status import INTERRUPTED, AtOnce

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

__all__ = ["entry_point"]

try:
    import gym_notices.notices
except ModuleNotFoundError:  # gym is a dependency of d3rlpy's, which may drop it
    pass
else:
    # d3rlpy imports gym, which prints four lines; here, because a process of a pool imports this module first of all
    gym_notices.notices.notices.clear()

AGAIN = 0.01  # seconds after which a Ctrl-C that Python lost is pressed anew


def entry_point() -> None:
    """Runs the command line of this process; Ctrl-C ends it with one line, also while modules are imported."""
    sys.unraisablehook = _keep_interrupts
    try:
        from .standard import StandardOutputError, open_standard_files

        try:
            open_standard_files()
        except StandardOutputError as error:
            os.write(2, f"Error: {error}.\n".encode())
            sys.exit(1)
        from .group import cli

        cli(prog_name="rld-distill")
    except AtOnce as error:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(error.code if isinstance(error.code, int) else 1)
    except KeyboardInterrupt:
        os.write(2, b"Interrupted: run the same command again to go on.\n")
        sys.exit(INTERRUPTED)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # pressed once more, it ends at once what is left to do


def _keep_interrupts(unraisable: UnraisableHookArgs) -> None:
    """Python drops what is raised in finalizers and callbacks of weak references; Ctrl-C is pressed anew."""
    if unraisable.exc_type is KeyboardInterrupt:
        # not here and now: it would be raised in this function, and dropped once more
        threading.Timer(AGAIN, _thread.interrupt_main).start()
    else:
        sys.__unraisablehook__(unraisable)
