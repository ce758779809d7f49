"""What was typed to run a script: it goes with what the script records."""

from __future__ import annotations

import shlex
import sys

__all__ = ["typed"]


def typed(module: str) -> str:
    """Returns the command line of this process, as ``python -m`` of a module such as ``"benchmarks.leaderboard"``."""
    return shlex.join(["python", "-m", module, *sys.argv[1:]])
