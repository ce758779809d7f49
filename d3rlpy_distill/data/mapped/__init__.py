"""Datasets that are larger than memory: frames stay in a file, and what is read of them is copied or mapped."""

from .buffer import MappedBuffer, mapped_episodes, mapped_replay_buffer
from .cache import SUFFIX, FrameCache, find_cache, make_cache
from .rows import MappedRows, in_pieces, rows_of

__all__ = [
    "SUFFIX",
    "FrameCache",
    "MappedBuffer",
    "MappedRows",
    "find_cache",
    "in_pieces",
    "make_cache",
    "mapped_episodes",
    "mapped_replay_buffer",
    "rows_of",
]
