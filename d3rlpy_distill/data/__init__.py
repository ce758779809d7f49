"""Offline datasets: a d3rlpy buffer with what is known of it, its transitions as arrays, and the files."""

from .describe import describe
from .hdf5 import (
    DatasetInfo,
    EpisodeData,
    EpisodeWriter,
    Provenance,
    load_dataset,
    package_versions,
    read_episodes,
    read_extras,
    read_info,
    read_own,
)
from .offline import OfflineDataset
from .transitions import TransitionArrays, one_step_buffer
from .views import Views

__all__ = [
    "DatasetInfo",
    "EpisodeData",
    "EpisodeWriter",
    "OfflineDataset",
    "Provenance",
    "TransitionArrays",
    "Views",
    "describe",
    "load_dataset",
    "one_step_buffer",
    "package_versions",
    "read_episodes",
    "read_extras",
    "read_info",
    "read_own",
]
