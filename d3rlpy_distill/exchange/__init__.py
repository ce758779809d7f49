"""Datasets to and from other projects: d3rlpy's files and names, Minari, Hugging Face dataset repositories."""

from .d3rlpy_import import import_d3rlpy

__all__ = ["import_d3rlpy"]
