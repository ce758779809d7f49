"""Two commands on one output: one works, the other says who it is; what was killed is gone on with."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from commands import fails, run
from d3rlpy_distill.files import claimed
from d3rlpy_distill.pipeline import distill_to_file, load
from processes import finish, start, wait_for

LONG = ["collect", "gym/CartPole-v1", "--policy", "random", "--episodes", 10_000]


@pytest.fixture(scope="module")
def distilled(cartpole: Path) -> Path:
    distill_to_file(load(cartpole), cartpole.with_name("d.h5"), n_samples=5, steps=1)
    return cartpole.with_name("d.h5")


def test_the_second_says_who_the_first_is_and_goes_on_when_it_was_killed(tmp_path: Path, cartpole: Path) -> None:
    out = tmp_path / "c.h5"
    first = start(*LONG, "--out", out)
    lock = tmp_path / ".c.h5.lock"
    wait_for(lambda: lock.exists() and bool(lock.read_text()) and any(tmp_path.glob(".*.partial")), first)
    about = json.loads(lock.read_text())
    named = f"process {first.pid} on {about['host']} since {about['since']} ({about['command']})"
    assert about["process"] == first.pid and "--episodes 10000" in about["command"]
    for other in (LONG, ["distill", cartpole, "--samples", 5, "--steps", 1]):  # the same command, and another
        fails(1, f"c.h5 is being made by {named}: wait, or give another --out.", *other, "--out", out)
    os.killpg(first.pid, signal.SIGKILL)
    finish(first)
    assert lock.exists() and any(tmp_path.glob(".*.partial"))
    result = run("collect", "gym/CartPole-v1", "--policy", "random", "--episodes", 2, "--out", out)
    assert result.exit_code == 0, result.output
    assert [one.name for one in tmp_path.iterdir()] == ["c.h5"]


@pytest.mark.parametrize(
    "command", ["collect", "procgen", "distill", "evaluate", "sweep", "train-expert", "make", "quickstart"]
)
def test_every_command_leaves_an_output_that_is_being_made_alone(
    command: str, tmp_path: Path, cartpole: Path, distilled: Path
) -> None:
    out = tmp_path / "out"
    asked = {
        "collect": ["collect", "gym/CartPole-v1", "--policy", "random", "--episodes", 2, "--out", out],
        "procgen": ["collect", "starpilot", "--policy", "random", "--episodes", 2, "--out", out],
        "distill": ["distill", cartpole, "--samples", 5, "--steps", 1, "--out", out],
        "evaluate": ["evaluate", cartpole, distilled, "--students", 1, "--out", out],
        "sweep": ["sweep", cartpole, "--sizes", 5, "--out", out],
        "train-expert": ["train-expert", "gym/CartPole-v1", "--steps", 10, "--out", out],
        "quickstart": ["quickstart", "--out", out],
        "make": ["datasets", "make", "starpilot-soft-150", "--data-directory", tmp_path],
    }[command]
    path = tmp_path / "starpilot-soft-150.h5" if command == "make" else out
    with claimed(path, directory=command in ("evaluate", "sweep", "train-expert", "quickstart")):
        before = sorted(tmp_path.rglob("*"))
        fails(1, f"{path} is being made by process {os.getpid()} on ", *asked)
        assert sorted(tmp_path.rglob("*")) == before
