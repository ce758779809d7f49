"""Datasets and distilled sets whose provenance says something else at one place, with a right seal on top of it."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py

from d3rlpy_distill.errors import DistillError
from d3rlpy_distill.files import write_seal

from .children import command
from .corpus import Unit

__all__ = ["provenances"]

WRONG: tuple[Any, ...] = (None, "x", [], {}, -1, 10**30)
FEW = ("--students", 1, "--episodes", 1, "--full-steps", 1, "--small-steps", 1)


def provenances(units: dict[str, Unit]) -> Iterator[tuple[str, Callable[[Path], Path], Callable[[Path], object]]]:
    """Yields ``(name, writer, what is done with the file)``."""
    cart = units["dataset"].folder / "cart.h5"
    plays = functools.partial(_evaluated, None, cart.with_name("hard.h5"), "test")
    yield from _replaced(cart, plays)
    for name in ("hard.h5", "soft.h5"):
        yield from _replaced(cart.with_name(name), functools.partial(_evaluated, cart, None, "test"))
    yield from _replaced(cart.with_name("soft.h5"), functools.partial(_taught, cart))
    frames = cart.with_name("frames.h5")
    if frames.exists():
        yield from _replaced(frames, functools.partial(_evaluated, None, cart.with_name("moved.h5"), "id"))


def _replaced(
    good: Path, use: Callable[[Path], object]
) -> Iterator[tuple[str, Callable[[Path], Path], Callable[[Path], object]]]:
    with h5py.File(good) as file:
        settings = json.loads(file.attrs["settings"])
    places = [(key,) for key in settings if key != "packages"]
    places += [
        where
        for where in (("levels", "start"), ("config", "sharpness"), ("config", "seed"))
        if where[0] in settings
    ]
    for number, where in enumerate(places):
        for value in WRONG[number % 2 :: 2]:
            changed = json.loads(json.dumps(settings))
            inner = changed
            for key in where[:-1]:
                inner = inner[key]
            inner[where[-1]] = value
            yield f"{good.name}: {'.'.join(where)} {value!r}", functools.partial(_write, good, changed), use


def _write(good: Path, settings: object, there: Path) -> Path:
    path = there / good.name
    shutil.copy(good, path)
    with h5py.File(path, "r+") as file:
        file.attrs["settings"] = json.dumps(settings)
    write_seal(path)
    return path


def _evaluated(data: Path | None, distilled: Path | None, split: str, path: Path) -> object:
    """Evaluates the file as the one of the two that is None."""
    arms = ("--arms", "expert,random-policy") if data is None else ()
    words = (data or path, distilled or path, *FEW, "--splits", split, *arms, "--out", path.parent / "e")
    return _ran(path, "evaluate", *words)


def _taught(data: Path, path: Path) -> object:
    words = ("--method", "labels", "--samples", 10, "--teachers", path, "--out", path.parent / "o.h5")
    return _ran(path, "distill", data, *words)


def _ran(path: Path, *words: object) -> object:
    said = command(*words)
    if not said.code:
        return said.code
    line = said.err.rstrip("\n").rpartition("\n")[2]
    if said.code not in (1, 2) or "internal error" in line or "Traceback" in said.err or "Error: " not in line:
        raise AssertionError(f"exit {said.code}: {said.err[-1500:]}")
    raise DistillError(f"{path}: {line}")
