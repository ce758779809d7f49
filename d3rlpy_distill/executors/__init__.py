"""Where units of work run: here, several at once; other places are to follow the same functions."""

from .local import Stopped, in_processes, in_threads

__all__ = ["Stopped", "in_processes", "in_threads"]
