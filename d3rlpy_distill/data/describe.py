"""What there is to say of a dataset file, whoever wrote it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from .hdf5 import DatasetInfo, read_info
from .offline import OfflineDataset

__all__ = ["describe"]


def describe(path: str | Path) -> DatasetInfo:
    """Reads a file's description; what another program did not write of it is computed from its episodes.

    Raises:
        DatasetFormatError: If it is not a complete dataset.
    """
    info = read_info(path)
    if info.content_sha256 is not None:
        return info
    dataset = OfflineDataset.load(path)
    transitions = dataset.transitions
    counts = np.bincount(transitions.actions, minlength=dataset.action_size) if dataset.discrete else None
    return dataclasses.replace(
        info,
        action_size=dataset.action_size,
        content_sha256=dataset.sha256,
        num_transitions=len(dataset),
        return_mean=float(np.mean([episode.compute_return() for episode in dataset.buffer.episodes])),
        action_histogram=None if counts is None else [int(count) for count in counts],
    )
