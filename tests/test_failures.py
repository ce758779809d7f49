"""What commands say when something fails: one line with the cause, and no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from commands import fails, run
from d3rlpy_distill.errors import CheckpointError
from d3rlpy_distill.files import load_tensors, save_tensors
from d3rlpy_distill.methods.checkpoint import checkpoint_threads, load_checkpoint, save_checkpoint
from d3rlpy_distill.pipeline import distill_to_file, load
from d3rlpy_distill.students.kept import load_student
from d3rlpy_distill.threads import ThreadsWarning, with_threads
from rld_distill.failures import explain

FEW = ["--students", 1, "--episodes", 1, "--full-steps", 2, "--small-steps", 2, "--splits", "train"]


@pytest.fixture
def evaluated(tmp_path: Path, cartpole: Path) -> list[object]:
    """The command line of an evaluation that has run."""
    distilled = cartpole.with_name("d.h5")
    if not distilled.exists():
        distill_to_file(load(cartpole), distilled, n_samples=5, steps=1)
    command = ["evaluate", cartpole, distilled, *FEW, "--arms", "distilled-5", "--out", tmp_path / "e", "--json"]
    result = run(*command)
    assert result.exit_code == 0, result.output
    return command


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you")])
def test_too_little_memory(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    assert explain(error).startswith("out of memory: ")


def test_an_error_that_nobody_foresaw_is_one_line_and_debug_shows_where(
    tmp_path: Path, cartpole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raising(*arguments: Any, **settings: Any) -> None:
        raise TypeError("a bug\nof two lines")

    monkeypatch.setattr("d3rlpy_distill.pipeline.distill_to_file", raising)
    command = ["distill", cartpole, "--out", tmp_path / "d.h5"]
    fails(1, "internal error (TypeError: a bug of two lines): please report it", *command)
    shown = run("--debug", *command)
    assert "Traceback" in shown.stderr and "in raising" in shown.stderr and shown.exit_code == 1


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", "[[null, 1]]", '{"returns": null}', "[[1, NaN]]", "5", "[" * 100_000]
)
def test_damaged_returns_and_records(text: str, evaluated: list[object], tmp_path: Path) -> None:
    directory = tmp_path / "e"
    for name in ("returns/distilled-5-train-sampled.json", "evaluation.json"):
        good = (directory / name).read_bytes()
        (directory / name).write_text(text)
        fails(1, str(directory), *evaluated)
        (directory / name).write_bytes(good)
    (directory / "results.json").write_text(text)
    fails(1, str(directory), "report", directory)


def test_students_that_do_not_fit(evaluated: list[object], tmp_path: Path) -> None:
    path = tmp_path / "e" / "students" / "distilled-5" / "0.safetensors"
    weights, said = load_tensors(path)
    about, first = json.loads(said["student"]), next(iter(weights))
    shaped = json.loads(about["learner"])
    broken = [
        ({key: value for key, value in weights.items() if key != first}, about),
        ({**weights, "extra": torch.zeros(3)}, about),
        ({**weights, first: torch.zeros(3)}, about),
        ({}, about),
        *((weights, {**about, key: None}) for key in about),
        (weights, None),
        (weights, {**about, "record": {}}),
    ]
    for tensors, text in broken:
        save_tensors(path, tensors, {"student": json.dumps(text)}, overwrite=True)
        fails(1, str(path), *evaluated)
        with pytest.raises(CheckpointError, match=r"0\.safetensors"):
            load_student(path)
    for key in shaped:  # what evaluations know themselves
        text = {**about, "learner": json.dumps({**shaped, key: None})}
        save_tensors(path, weights, {"student": json.dumps(text)}, overwrite=True)
        with pytest.raises(CheckpointError, match=r"0\.safetensors"):
            load_student(path)


def test_what_lies_in_a_sweeps_way_stays(tmp_path: Path, cartpole: Path) -> None:
    quick = ["--sizes", 5, "--steps", 1, *FEW, "--out", tmp_path]
    for name, text in {
        "sweep.json": '{"mine": 1}', "sweep.npz": "mine", "size-curve.png": "mine", "cart-gradient-5-0.json": "{}",
        "cart-gradient-5-0.h5": "mine", "cart-gradient-5-0.h5.checkpoint": "mine",
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
        fails(1, str(tmp_path / name), "sweep", cartpole, *quick)
        assert (tmp_path / name).read_text() == text and [one.name for one in tmp_path.iterdir()] == [name]
        (tmp_path / name).unlink()
    for _ in range(2):  # its own are written anew
        result = run("sweep", cartpole, *quick)
        assert result.exit_code == 0, result.output


def test_config_files_end(tmp_path: Path, cartpole: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long.toml").write_text("# " + "x" * 2_000_000)
    (tmp_path / "deep.toml").write_text("a = " + "[" * 100_000)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    for path, message in [
        ("/dev/zero", "no ordinary file"),
        (tmp_path / "pipe", "no ordinary file"),
        (tmp_path / "long.toml", "more than 1048576 bytes"),
        (tmp_path / "deep.toml", "not valid TOML"),
        (tmp_path / "bytes.toml", "not valid TOML"),
    ]:
        fails(2, message, "distill", cartpole, "--config", path)


RUN = "import sys; from rld_distill.main import entry_point; entry_point()"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's")
@pytest.mark.parametrize(
    ("redirected", "message"),
    [
        (">&-", "standard output is closed"),
        (">/dev/full", "standard output cannot be written (no space left on device)"),
        ("| true", "standard output cannot be written (broken pipe)"),
    ],
)
def test_standard_output_that_takes_nothing(redirected: str, message: str) -> None:
    """What is printed last fails: that is no success."""
    script = f'set -o pipefail; (sleep 0.1; "{sys.executable}" -c "{RUN}" --version) {redirected}'
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 1 and ended.stdout == ""
    assert ended.stderr.startswith(f"Error: {message}") and ended.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's limits")
def test_too_little_address_space_is_said_before_the_packages_are_imported() -> None:
    script = f'ulimit -v 900000; "{sys.executable}" -c "{RUN}" list methods'
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 1 and ended.stdout == ""
    assert ended.stderr.startswith("Error: out of memory: 'ulimit -v' leaves") and ended.stderr.count("\n") == 1


def test_another_number_of_threads_is_said_and_recorded(tmp_path: Path) -> None:
    path, now = tmp_path / "c.checkpoint", torch.get_num_threads()
    save_checkpoint(path, {"a": 1}, {"step": 1}, with_threads([]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_checkpoint(path, {"a": 1}) == ({"step": 1}, [now])
    save_checkpoint(path, {"a": 1}, {"step": 1}, [now + 1])
    with pytest.warns(ThreadsWarning, match=f"made with {now + 1} threads, and this process has {now}"):
        _, threads = load_checkpoint(path, {"a": 1})
    assert with_threads(threads) == [now + 1, now] and checkpoint_threads(path) == [now + 1]
