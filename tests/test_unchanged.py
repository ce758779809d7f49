"""Results of version 0.1.0, recorded before the rebuild, come out bit for bit: datasets, distilled sets, returns.

``data/unchanged`` holds what was recorded: the hashes of what distillations wrote and the returns of every arm, each
with its command. Bits depend on the processor, on torch and on the number of threads, so everything is made anew in
a process of one thread on one core (``unchanged.py``), and elsewhere than on the recorded machine it is skipped.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from procgen_datasets import recipe
from unchanged import DATA, DISTILLED, hashes

Make = Callable[[str], dict[str, Any]]


def recorded(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text())
    return value


def processor() -> str:
    """Names this machine's processor as the recording does: two of one name may compute differently."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return f"{said.get('model name')}, family {said.get('cpu family')}, model {said.get('model')}"


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes a part anew, once, where the bits can be those of the recording."""
    machine = recorded("quick")["recorded"]
    there, here = (machine["processor"], machine["torch"]), (processor(), torch.__version__)

    @functools.cache
    def made(part: str) -> dict[str, Any]:
        if there != here:
            pytest.skip(
                f"recorded on {there[0]} with torch {there[1]}, this is {here[0]} with torch {here[1]}: results are "
                "bit-identical on one machine only"
            )
        out = tmp_path_factory.mktemp("unchanged") / f"{part}.json"
        worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
        cores = sorted(os.sched_getaffinity(0))
        core = cores[int(worker) % len(cores)]
        result = subprocess.run(
            [
                "taskset",
                "-c",
                str(core),
                sys.executable,
                str(Path(__file__).with_name("unchanged.py")),
                part,
                str(out),
            ],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        value: dict[str, Any] = json.loads(out.read_text())
        return value

    return made


def compare(made: dict[str, Any], name: str) -> None:
    """Everything that was made is what was recorded, to the last bit."""
    known = recorded(name)
    for kind in ("datasets", "distilled"):
        for key, value in made[kind].items():
            if kind == "distilled":  # a set of learned rewards now keeps those that it started from, too
                value = {part: value.get(part) for part in known[kind][key]}
            assert value == known[kind][key], (kind, key)
    for title, rows in made["tables"].items():
        theirs = {(arm["name"], arm["split"], arm["mode"]): arm for arm in known["tables"][title]}
        assert rows
        for arm in rows:
            assert arm == theirs[arm["name"], arm["split"], arm["mode"]], title


def whole(made: dict[str, Any], title: str, name: str) -> None:
    assert len(made["tables"][title]) == len(recorded(name)["tables"][title])


@pytest.mark.slow
def test_datasets_distilled_sets_and_returns_are_those_of_0_1(make: Make) -> None:
    made = make("quick")
    compare(made, "quick")
    assert set(made["datasets"]) == {"starpilot"} and len(made["distilled"]) == 4
    assert len(made["tables"]["standard"]) == 4 * 8 and len(made["tables"]["soft"]) == 4 * 3


@pytest.mark.slow
def test_a_student_that_0_1_kept_plays_as_it_did(make: Make) -> None:
    rows = {
        f"{arm['split']} {arm['mode']}": arm["returns"][0]
        for arm in recorded("quick")["tables"]["standard"]
        if arm["name"] == "bc-10"
    }
    assert len(rows) == 4 and make("quick")["student"] == rows


@pytest.mark.slow
def test_every_quick_table_is_that_of_0_1(make: Make) -> None:
    made = make("tables")
    compare(made, "quick")
    assert set(made["datasets"]) == {"starpilot", "bigfish"} and set(made["distilled"]) == set(DISTILLED)
    for title in ("standard", "soft", "algos"):
        whole(made, title, "quick")


@pytest.mark.slow
def test_a_sweep_is_that_of_0_1(make: Make) -> None:
    made = make("sweep")
    compare(made, "quick")
    assert len(made["distilled"]) == len(made["tables"]) == 4
    for title in made["tables"]:
        whole(made, title, "quick")


@pytest.mark.slow
@pytest.mark.parametrize("part", ["full_a", "full_b", "full_c", "full_soft"])
def test_results_of_the_published_settings_are_those_of_0_1(part: str, make: Make) -> None:
    """starpilot, all arms, 2 students x 10 episodes."""
    made = make(part)
    compare(made, "full")
    whole(made, part.replace("_", "-"), "full")
    assert set(made["datasets"]) == {"starpilot-expert"}


@pytest.mark.slow
@pytest.mark.parametrize("part", ["bundled_soft", "bundled_distilled"])
def test_the_bundled_distilled_sets_come_out_of_their_recipes(part: str, make: Make) -> None:
    made = make(part)
    compare(made, "full")
    assert len(made["distilled"]) == 1


def test_the_bundled_distilled_sets_are_those_of_0_1() -> None:
    known = recorded("full")["distilled"]
    assert len(known) == 6
    directory = Path(recipe.__file__).parent / "distilled"
    for name, value in known.items():
        assert hashes(directory / f"{name}.h5") == value
