"""Mixes datasets of several policies, as many transitions of each: percentile filters mean something there."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import DatasetFormatError
from ..files import claimed
from .hdf5 import DatasetInfo, EpisodeWriter, Provenance, read_episodes, read_extras, read_info, read_own

__all__ = ["mix"]


def mix(parts: Sequence[str | Path], path: str | Path, *, command: str = "", expert: int = 0) -> DatasetInfo:
    """Writes whole episodes of every part, in their order; returns at once if ``path`` holds just these already.

    The smallest part is taken whole, and of the others the first episodes that together have at least as many
    transitions.

    Args:
        parts: Collected datasets of one task, two or more.
        path: The file to make. It appears only when it is complete.
        command: Command line to record.
        expert: The part whose policy the mixture records as the one that played: a table's ceiling.

    Raises:
        DatasetFormatError: If a part is damaged, not a collected dataset, or of another task.
        OutputExistsError: If ``path`` holds anything else.
        InUseError: If another process is making it.
    """
    infos = [read_info(part) for part in parts]
    first = infos[expert].provenance
    tasks = {info.provenance.task if info.provenance else None for info in infos}
    if first is None or len(tasks) != 1 or len(infos) < 2:
        raise DatasetFormatError(
            f"{', '.join(map(str, parts))}: expected two or more collected datasets of one task, "
            f"not of {', '.join(map(str, sorted(tasks, key=str)))}."
        )
    lengths = [read_extras(part, "episodes")["length"] for part in parts]
    wanted = min(int(length.sum()) for length in lengths)
    counts = [int(np.searchsorted(length.cumsum(), wanted)) + 1 for length in lengths]
    settings = dict(first.settings) | {
        "mixed": [
            {"file": Path(part).name, "content_sha256": info.content_sha256, "episodes": count}
            for part, info, count in zip(parts, infos, counts, strict=True)
        ]
    }
    provenance = Provenance("mixed", first.task, first.action_size, command, settings)
    with claimed(Path(path)):
        if Path(path).exists():
            return read_own(path, provenance)
        with EpisodeWriter(path, provenance) as writer:
            for part, count in zip(parts, counts, strict=True):
                for episode in itertools.islice(read_episodes(part), count):
                    writer.write(episode)
    return read_info(path)
