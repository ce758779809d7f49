"""``python -m rld_distill``."""

from .main import entry_point

entry_point()
