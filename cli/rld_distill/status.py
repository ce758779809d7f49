"""Exit statuses, beside click's own: 1 for an error, 2 for a wrong command line."""

from __future__ import annotations

__all__ = ["INTERRUPTED", "AtOnce"]

INTERRUPTED = 130
"""As shells report a program that Ctrl-C ended."""


class AtOnce(SystemExit):
    """Ends the process without Python's own tidying, which fails and says so where there is no memory left."""
