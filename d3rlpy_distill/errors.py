"""Errors that a user can act on: each message names the value, what was expected and what to type."""

from __future__ import annotations

__all__ = [
    "CheckpointError",
    "DamagedFileError",
    "DatasetFormatError",
    "DistillError",
    "InUseError",
    "MissingExtraError",
    "OutputExistsError",
    "OutputPathError",
    "PluginError",
    "SettingsError",
    "TooLargeError",
    "UnknownNameError",
    "UnsuitableDatasetError",
    "UntrustedFileError",
]


LONGEST = 1500
"""Characters of a message."""


class DistillError(Exception):
    """Base of every error that this project raises on purpose.

    Its text is one line whose characters all print, whatever it quotes: file names, what files say, other libraries.
    One that fills a screen loses its middle.
    """

    def __str__(self) -> str:
        line = " ".join(super().__str__().split())
        line = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in line)
        return line if len(line) <= LONGEST else f"{line[: LONGEST * 2 // 3]} ... {line[-LONGEST // 3 :]}"


class SettingsError(DistillError, ValueError):
    """A setting is out of range, or does not go with another; a command exits with 2."""


class UnknownNameError(SettingsError):
    """No method, student, task or dataset has this name; the message names the nearest."""


class PluginError(DistillError):
    """A plug-in cannot be loaded, or takes a name that is taken."""


class MissingExtraError(DistillError):
    """A package of an optional extra is not installed; the message says what to type."""


class UnsuitableDatasetError(DistillError):
    """The dataset cannot be distilled or trained on as asked."""


class DatasetFormatError(DistillError):
    """A file is not a complete d3rlpy HDF5 dataset of the expected shape."""


class DamagedFileError(DistillError):
    """A file of ours is not as it was written: damaged, cut short or edited."""


class OutputExistsError(DistillError):
    """The output path holds something else, which is never overwritten."""


class OutputPathError(DistillError):
    """No file can be made at the output path."""


class TooLargeError(DistillError):
    """There is not enough memory for what was asked."""


class InUseError(DistillError):
    """Another process is making the output at this moment."""


class CheckpointError(DistillError):
    """A checkpoint is damaged or belongs to another configuration or dataset."""


class UntrustedFileError(DistillError):
    """The file holds pickled code, which runs when it is loaded; loading it needs the user's word."""
