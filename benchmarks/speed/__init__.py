"""Every claim of speed and of size, measured."""
