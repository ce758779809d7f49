"""Studies: a TOML file that says what a sweep is made of.

.. code-block:: toml

    datasets = ["data/starpilot.h5", "data/bigfish.h5"]
    methods = ["gradient", "labels"]
    sizes = [50, 150]
    students = ["paper", "impala-s2d"]    # without them, each task's own
    seeds = 3                             # 0, 1 and 2; or a list of them

    [distillation]
    steps = 500

    [evaluation]
    students = 10
    episodes = 100
    splits = ["id", "validation"]
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import SettingsError
from ..evaluation.protocol import PartialBudget, Protocol
from .plan import DEFAULT, SIZES, SweepConfig
from .run import Sweep, plan_sweep

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Study", "read_study"]

MAX_BYTES = 1 << 20

Check = Callable[[Any], bool]


@dataclasses.dataclass(frozen=True)
class Study:
    """Datasets x methods x sizes x students x seeds.

    Args:
        datasets: Files, or names of registered datasets.
        methods: Registered methods or coresets.
        sizes: Samples of the distilled sets.
        students: Registered students; none takes each task's own.
        seeds: Of the distillations, and of the students.
        full: Also train students of all data, once a dataset, student and seed.
        config: What all cells have in common.
    """

    datasets: tuple[str, ...]
    methods: tuple[str, ...] = ("gradient",)
    sizes: tuple[int, ...] = SIZES
    students: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    full: bool = False
    config: SweepConfig = DEFAULT

    def plan(self, directory: str | Path) -> Sweep:
        """Returns the sweep, ready to run; see :func:`~.run.plan_sweep`."""
        return plan_sweep(
            self.datasets,
            self.methods,
            self.sizes,
            self.seeds,
            directory,
            students=self.students,
            full=self.full,
            config=self.config,
        )


def read_study(path: Path) -> Study:
    """Reads a TOML file; paths in it are relative to the current directory, as on the command line.

    Raises:
        SettingsError: If it is no such file: the message names the key and what is expected.
    """
    table = _read(path)
    found = _checked(path, table, "", {**AXES, "distillation": TABLE, "evaluation": TABLE})
    if "datasets" not in found:
        raise SettingsError(f"{path} names no datasets: expected datasets = [...], a list of files or names.")
    distillation = _checked(path, found.pop("distillation", {}), "distillation.", DISTILLATION)
    evaluation = _checked(path, found.pop("evaluation", {}), "evaluation.", EVALUATION)
    seeds = found.pop("seeds", 1)
    numbers = {key: evaluation[key] for key in ("students", "episodes") if key in evaluation}
    full, small = (
        PartialBudget(evaluation.get(f"{kind}_steps"), evaluation.get(f"{kind}_batch"))
        for kind in ("full", "small")
    )
    splits = evaluation.get("splits")
    config = SweepConfig(
        task=evaluation.get("task"),
        splits=None if splits is None else tuple(splits),
        preset=distillation.get("preset", DEFAULT.preset),
        steps=distillation.get("steps"),
        protocol=Protocol(**numbers, full=full, small=small),
        expert=distillation.get("expert"),
        trust=distillation.get("trust", False),
    )
    axes = {key: tuple(value) for key, value in found.items()}
    return Study(
        **axes,
        seeds=tuple(range(seeds) if isinstance(seeds, int) else seeds),
        full=evaluation.get("full", False),
        config=config,
    )


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise SettingsError(f"{path} does not exist, or is no ordinary file: expected a study, a file of TOML.")
    with path.open("rb") as file:
        text = file.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise SettingsError(f"{path} has more than {MAX_BYTES} bytes: expected a study, a few lines of TOML.")
    try:
        table: dict[str, Any] = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from error
    return table


def _checked(
    path: Path, table: Mapping[str, Any], prefix: str, known: Mapping[str, tuple[Check, str]]
) -> dict[str, Any]:
    """The table, whose every key is known and every value of its kind."""
    for key, value in table.items():
        if key not in known:
            raise SettingsError(f"{path} sets {prefix}{key}: expected one of {', '.join(known)}.")
        check, expected = known[key]
        if not check(value):
            raise SettingsError(f"{path}: {prefix}{key} = {value!r}: expected {expected}.")
    return dict(table)


def _number(least: int, most: int = 2**53) -> Check:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _list(check: Check) -> Check:
    """Of one or more, none of them twice."""

    def fits(value: Any) -> bool:
        return isinstance(value, list) and bool(value) and all(map(check, value)) and len(set(value)) == len(value)

    return fits


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _truth(value: Any) -> bool:
    return isinstance(value, bool)


NAMES = _list(_text), "a list of names, none twice"
MOST_SEEDS = 1000
LARGEST_SEED = 2**31 - 1  # of the option --seed
POSITIVE = _number(1), "a number of 1 or more"
TEXT = _text, "a text"
TRUTH = _truth, "true or false"
TABLE: tuple[Check, str] = lambda value: isinstance(value, dict), "a table"
AXES: Mapping[str, tuple[Check, str]] = {
    "datasets": NAMES,
    "methods": NAMES,
    "sizes": (_list(_number(1)), "a list of numbers of 1 or more, none twice"),
    "students": NAMES,
    "seeds": (
        lambda value: (_number(1)(value) and value <= MOST_SEEDS) or _list(_number(0, LARGEST_SEED))(value),
        f"a number of seeds, {MOST_SEEDS} at most, or a list of some, none twice, from 0 to {LARGEST_SEED}",
    ),
}
DISTILLATION = {
    "preset": TEXT,
    "steps": (_number(0), "a number of 0 or more"),
    "expert": TEXT,
    "trust": TRUTH,
}
EVALUATION = {
    "students": POSITIVE,
    "episodes": POSITIVE,
    "splits": NAMES,
    "task": TEXT,
    "full": TRUTH,
    "full_steps": POSITIVE,
    "full_batch": POSITIVE,
    "small_steps": POSITIVE,
    "small_batch": POSITIVE,
}
