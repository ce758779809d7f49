"""Errors of Procgen's side that a user can act on."""

from __future__ import annotations

from d3rlpy_distill.errors import DistillError, SettingsError, UnknownNameError

__all__ = ["ExpertError", "TrainingError", "TrainingSettingsError", "UnknownGameError", "UnknownRecipeError"]


class UnknownGameError(UnknownNameError):
    """The name is not one of the 16 Procgen games."""


class UnknownRecipeError(UnknownNameError):
    """The name is not one of the bundled dataset recipes."""


class ExpertError(DistillError):
    """An expert's weights are missing, damaged or of another architecture."""


class TrainingError(DistillError):
    """A training run cannot start or go on: a checkpoint, or the expert to start from, does not fit."""


class TrainingSettingsError(TrainingError, SettingsError):
    """A setting of a training run is out of range, or does not go with another."""
