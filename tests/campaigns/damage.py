"""Damaged files: refused in one line that names the file, or as good as undamaged."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from .children import Ended, Try, refusal, run, run_all
from .corpus import Unit
from .digests import LOADERS
from .tally import Clock, Tally

__all__ = ["DAMAGES", "damage_campaign"]

SECONDS = 90.0  # beyond the time that a file without a seal is given to be read in
Rng = np.random.Generator


def flip(data: bytes, rng: Rng) -> bytes:
    changed = bytearray(data)
    changed[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def zeroed(data: bytes, rng: Rng) -> bytes:
    length = 134 if rng.random() < 0.5 else int(rng.integers(1, 4097))
    at = int(rng.integers(len(data)))
    return data[:at] + bytes(len(data[at : at + length])) + data[at + length :]


def overwritten(data: bytes, rng: Rng) -> bytes:
    at = int(rng.integers(len(data)))
    length = min(int(rng.integers(1, 257)), len(data) - at)
    return data[:at] + rng.bytes(length) + data[at + length :]


def truncated(data: bytes, rng: Rng) -> bytes:
    return data[: rng.integers(len(data))]


def inserted(data: bytes, rng: Rng) -> bytes:
    at = int(rng.integers(len(data) + 1))
    length = int(rng.choice([1, 8, 134, 512, 4096]))
    return data[:at] + (bytes(length) if rng.random() < 0.3 else rng.bytes(length)) + data[at:]


def deleted(data: bytes, rng: Rng) -> bytes:
    at = int(rng.integers(len(data)))
    return data[:at] + data[at + int(rng.choice([1, 8, 134, 512])) :]


def swapped(data: bytes, rng: Rng) -> bytes:
    size = int(rng.choice([16, 512, 4096]))
    blocks = [data[i : i + size] for i in range(0, len(data), size)]
    i, j = rng.integers(len(blocks), size=2)
    blocks[i], blocks[j] = blocks[j], blocks[i]
    return b"".join(blocks)


def doubled(data: bytes, rng: Rng) -> bytes:
    first, second = data[: len(data) // 2], data[len(data) // 2 :]
    return [data + first, data + data, first + first, second + first, second + second][rng.integers(5)]


DAMAGES: Sequence[Callable[[bytes, Rng], bytes]] = (
    flip, flip, flip, zeroed, zeroed, overwritten, truncated, inserted, deleted, swapped, doubled
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Case:
    unit: Unit
    file: str
    damage: str
    folder: Path


def damage_campaign(units: Sequence[Unit], count: int, tally: Tally, clock: Clock, folder: Path) -> None:
    """Damages files of every kind in turn, and loads them.

    Args:
        units: What there is to damage.
        count: Files.
        tally: Gets the outcomes; its seed fixes the damage.
        clock: Ends the campaign.
        folder: Scratch space.
    """
    whole = {(unit.name, file): _loaded(unit, file, folder / "whole") for unit in units for file in unit.files}
    cases: dict[str, _Case] = {}

    def tries() -> Iterator[Try]:
        for number in range(count):
            if clock.over():
                return
            if str(number) in tally.done:
                continue
            unit = units[number % len(units)]
            case = _damaged(unit, np.random.default_rng([tally.seed, number]), folder / f"{number}")
            cases[str(number)] = case
            loaded = case.folder / (unit.loaded or case.file)
            yield Try(str(number), LOADERS[unit.loader], (loaded,), SECONDS)

    for attempt, ended in run_all(tries(), clock.workers):
        case = cases.pop(attempt.name)
        kind, why = _judge(case, ended, whole[case.unit.name, case.file])
        about = f"{tally.seed}/{attempt.name} {case.file}, {case.damage}: {why}"
        if not tally.add(case.unit.name, kind, about, ended, key=attempt.name):
            shutil.rmtree(case.folder)


def _loaded(unit: Unit, file: str, folder: Path) -> str:
    """What the undamaged file holds."""
    _copy(unit, file, (unit.folder / file).read_bytes(), folder)
    ended = run(Try(unit.name, LOADERS[unit.loader], (folder / (unit.loaded or file),), SECONDS))
    shutil.rmtree(folder)
    if ended.kind != "value":
        raise RuntimeError(f"{unit.name} cannot be loaded undamaged: {ended.kind} {ended.text}")
    content: str = ended.value
    return content


def _copy(unit: Unit, file: str, data: bytes, folder: Path) -> None:
    """Copies a unit with other bytes in one of its files."""
    shutil.rmtree(folder, ignore_errors=True)  # of a campaign that was stopped
    folder.mkdir(parents=True)
    if unit.loader not in ("dataset", "distilled", "samples"):  # which are whole by themselves
        for other in unit.folder.iterdir():
            if other.is_file():
                shutil.copy(other, folder)
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(data)


def _damaged(unit: Unit, rng: Rng, folder: Path) -> _Case:
    """Copies a unit with one of its files damaged."""
    file = unit.files[rng.integers(len(unit.files))]
    data = (unit.folder / file).read_bytes()
    damage = DAMAGES[rng.integers(len(DAMAGES))]
    changed = damage(data, rng)
    while changed == data:
        damage = DAMAGES[rng.integers(len(DAMAGES))]
        changed = damage(data, rng)
    _copy(unit, file, changed, folder)
    return _Case(unit, file, damage.__name__, folder)


def _judge(case: _Case, ended: Ended, whole: str) -> tuple[str, str]:
    if ended.kind == "value":
        if ended.value == whole:
            return "unharmed", ""
        return ("different", "other content") if case.unit.sealed else ("unharmed", "")
    if ended.kind == "refused":
        wrong = refusal(ended.text, case.folder / case.file)
        return ("bad line", wrong) if wrong else ("refused", "")
    return ended.kind, ended.text
