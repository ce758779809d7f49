"""d3rlpy's HDF5 2.1, compressed, atomic and with provenance; stock d3rlpy loads the files unmodified."""

from .loading import load_dataset
from .provenance import Provenance, package_versions
from .reader import DatasetInfo, read_episodes, read_extras, read_info, read_own
from .writer import EpisodeData, EpisodeWriter

__all__ = [
    "DatasetInfo",
    "EpisodeData",
    "EpisodeWriter",
    "Provenance",
    "load_dataset",
    "package_versions",
    "read_episodes",
    "read_extras",
    "read_info",
    "read_own",
]
