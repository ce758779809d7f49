"""What a report shows beside results: the sets they were made with, and films; named, or found."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import DistillError, SettingsError
from ..evaluation.results import Results
from ..methods.distilled import Distilled

__all__ = ["find_distilled", "find_films"]


def find_distilled(results: Sequence[Results], named: Sequence[Path] = ()) -> dict[str, Distilled]:
    """Returns distilled sets by the names of their arms, with their task where two have one name.

    A set is taken only if its hash is the one that the results record. Beside the files that are named, those are
    looked at that the commands of the distillations made, as seen from the current directory.

    Args:
        results: Evaluations, which record the sets.
        named: Files.

    Raises:
        SettingsError: If a file that is named holds none of the sets.
        DatasetFormatError: If it is no complete dataset.
    """
    wanted = {str(sha): _title(one, name, results) for one in results for name, sha in _hashes(one).items()}
    found: dict[str, Distilled] = {}
    for path in named:
        distilled = Distilled.load(path)
        if distilled.sha256 not in wanted:
            raise SettingsError(
                f"{path} is none of the sets that these results were made with: expected one of "
                f"{', '.join(wanted.values()) or 'none'}."
            )
        found[wanted[distilled.sha256]] = distilled
    for one in results:
        for name, path in _made(one):
            title = _title(one, name, results)
            if title not in found and (known := _load(path)) and known.sha256 == _hashes(one).get(name):
                found[title] = known
    return found


def _title(one: Results, name: str, results: Sequence[Results]) -> str:
    """The arm's name; with its task, where another evaluation has another set of that name, or its hash."""
    own = _hashes(one).get(name)
    others = [each for each in results if _hashes(each).get(name) not in (None, own)]
    if not others:
        return name
    title = f"{one.task}: {name}"
    return f"{title} ({str(own)[:8]})" if any(each.task == one.task for each in others) else title


def find_films(results: Sequence[Path], named: Sequence[Path] = ()) -> list[Path]:
    """Returns the GIF files that lie in directories of results, and those that are named."""
    beside = [film for path in results if path.is_dir() for film in sorted(path.glob("*.gif"))]
    return list(dict.fromkeys([*beside, *named]))


def _hashes(results: Results) -> Mapping[str, Any]:
    known = results.protocol.get("distilled_sha256")
    return known if isinstance(known, Mapping) else {}


def _made(results: Results) -> Iterator[tuple[str, Path]]:
    """What follows ``--out`` in the command of each distillation."""
    sets = results.provenance.get("distilled")
    for name, about in sets.items() if isinstance(sets, Mapping) else ():
        command = about.get("command") if isinstance(about, Mapping) else None
        try:
            words = shlex.split(command) if isinstance(command, str) else []
        except ValueError:  # anybody may have written it
            continue
        for option, value in itertools.pairwise(words):
            if option in ("--out", "-o"):
                yield name, Path(value)


def _load(path: Path) -> Distilled | None:
    try:
        return Distilled.load(path) if path.is_file() else None
    except (DistillError, OSError, ValueError):  # it is not the one that is looked for
        return None
