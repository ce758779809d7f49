"""``python -m rld_distill``."""

from rld_distill.main import entry_point

__spec__ = None  # else the processes of a pool would not run this file first, as they do the script's

if __name__ == "__main__":
    entry_point()
