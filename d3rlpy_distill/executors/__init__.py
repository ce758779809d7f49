"""Where units of work run: here, several at once; other places are to follow the same functions."""

from .local import in_processes, in_threads

__all__ = ["in_processes", "in_threads"]
