"""Ctrl-C ends every command with one line and exit status 130, keeps what is done, and leaves no process."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from commands import run
from d3rlpy_distill.pipeline import distill_to_file, load
from processes import ctrl_c, finish, start, wait_for

ANEW = "Interrupted: nothing of it was kept; run the same command again to begin anew.\n"
AGAIN = "Interrupted: run the same command again to go on.\n"


def test_while_modules_are_imported(tmp_path: Path, cartpole: Path) -> None:
    process = start("gallery", cartpole, "--out", tmp_path / "g.png")
    maps = Path(f"/proc/{process.pid}/maps")
    wait_for(lambda: "libtorch_cpu" in maps.read_text(), process)  # much is left to import
    assert ctrl_c(process) == (130, "", ANEW)


def test_running_students_stop_and_what_is_done_is_kept(tmp_path: Path, cartpole: Path) -> None:
    """Of 2 at a time: the processes that train them stop, too, and those that are done are kept."""
    distilled, out = tmp_path / "d.h5", tmp_path / "e"
    distill_to_file(load(cartpole), distilled, n_samples=5, steps=1)
    few = ["--students", 3, "--episodes", 1, "--splits", "train", "--jobs", 2, "--full-steps", 2]
    arms = ["--arms", "bc-100,bc-100-converged", "--converged-steps", 1_000_000]  # minutes
    command = ["evaluate", cartpole, distilled, *few, "--out", out, *arms]
    process = start(*command)
    done = out / "returns" / "bc-100-train-greedy.json"
    wait_for(done.exists, process)
    time.sleep(0.5)  # the second arm is in training
    begun = time.monotonic()
    assert ctrl_c(process) == (130, "", AGAIN)
    assert time.monotonic() - begun < 30  # its students would have taken minutes
    assert not list(out.rglob("*.partial")) and not list(out.rglob(".lock"))
    assert len(list(out.rglob("students/*/*.safetensors"))) == 3


def test_training_says_that_it_goes_on_with_resume(tmp_path: Path) -> None:
    pytest.importorskip("stable_baselines3")
    process = start("train-expert", "gym/CartPole-v1", "--steps", 10_000_000, "--out", tmp_path / "run")
    wait_for((tmp_path / "run" / "checkpoint.pt").exists, process)
    code, out, error = ctrl_c(process)
    assert (code, out) == (130, "")
    assert error == "Interrupted: run the same command again with --resume to go on.\n"
    assert sorted(one.name for one in (tmp_path / "run").iterdir()) == ["checkpoint.pt", "settings.json"]
    again = run(
        "train-expert", "gym/CartPole-v1", "--steps", 10_000_000, "--out", tmp_path / "run", "--resume",
        "--max-minutes", 0.001, "--card-episodes", 1,
    )  # fmt: skip
    assert again.exit_code == 0, again.output


def test_a_training_that_was_killed_before_its_first_checkpoint_begins_anew(tmp_path: Path) -> None:
    pytest.importorskip("stable_baselines3")
    from d3rlpy_distill.files import write_document

    command = ["train-expert", "gym/CartPole-v1", "--steps", 1, "--card-episodes", 1, "--out", tmp_path]
    (tmp_path / "settings.json").write_text("{}")  # somebody else's
    assert run(*command).exit_code == 1 and (tmp_path / "settings.json").read_text() == "{}"
    write_document(tmp_path / "settings.json", {"task": "gym/CartPole-v1"}, overwrite=True)
    result = run(*command)
    assert result.exit_code == 0, result.output


@pytest.mark.slow
def test_a_killed_sweep_takes_its_processes_with_it(tmp_path: Path, cartpole: Path) -> None:
    options = ["--sizes", "5,6", "--steps", 1_000_000, "--students", 1, "--jobs", 2, "--out", tmp_path]
    process = start("sweep", cartpole, *options)
    wait_for(lambda: len(list(tmp_path.glob(".*.h5.lock"))) == 2, process)
    process.kill()
    finish(process)  # its processes hold its standard error: this ends when they do
    assert not list(tmp_path.glob("*.h5"))
