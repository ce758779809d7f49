"""Errors that a user can act on: each message names the value, what was expected and what to type."""

from __future__ import annotations

__all__ = ["CheckpointError", "DistillError", "UnsuitableDatasetError"]


class DistillError(Exception):
    """Base of every error that :mod:`d3rlpy_distill` raises on purpose."""


class UnsuitableDatasetError(DistillError):
    """The dataset cannot be distilled or trained on as asked."""


class CheckpointError(DistillError):
    """A checkpoint is damaged or belongs to another configuration or dataset."""
