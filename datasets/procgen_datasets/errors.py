"""Errors that a user can act on: each message names the value, what was expected and what to type."""

from __future__ import annotations

__all__ = [
    "DatasetError",
    "DatasetFormatError",
    "ExpertError",
    "MissingExtraError",
    "OutputExistsError",
    "TrainingError",
    "UnknownGameError",
    "UnknownRecipeError",
]


class DatasetError(Exception):
    """Base of every error that :mod:`procgen_datasets` raises on purpose."""


class UnknownGameError(DatasetError):
    """The name is not one of the 16 Procgen games."""


class UnknownRecipeError(DatasetError):
    """The name is not one of the bundled dataset recipes."""


class ExpertError(DatasetError):
    """An expert's weights are missing, damaged or of another architecture."""


class DatasetFormatError(DatasetError):
    """A file is not a complete d3rlpy HDF5 dataset of the expected shape."""


class OutputExistsError(DatasetError):
    """The output path holds something else, which is never overwritten."""


class TrainingError(DatasetError):
    """A training run cannot start or go on: settings, levels or a checkpoint do not fit."""


class MissingExtraError(DatasetError):
    """A package of an optional extra is not installed."""
