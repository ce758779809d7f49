"""What commands say before, and instead of, doing something: dry runs, refusals, notes, advice."""

from __future__ import annotations

import io
import json
import signal
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from buffers import make_buffer
from commands import fails, run
from d3rlpy_distill import Distilled, OfflineDataset, estimates
from d3rlpy_distill.data import read_info
from d3rlpy_distill.evaluation.arms import equal_arms, standard_arms
from d3rlpy_distill.evaluation.protocol import Protocol
from d3rlpy_distill.methods.random import RandomCoreset
from d3rlpy_distill.pipeline import configure, distill_to_file, load
from d3rlpy_distill.students.mlp import MlpStudent
from d3rlpy_distill.tasks import PARTS
from procgen_datasets import list_recipes
from rld_distill.failures import explain
from test_gen_dgrl import as_npy, episode, make_archive, name_of

COLLECTED = next(name for name in list_recipes() if name.startswith("starpilot-expert"))
FEW = ["--students", 1, "--episodes", 1, "--full-steps", 2, "--small-steps", 2, "--converged-steps", 2]


@pytest.fixture
def taken(tmp_path: Path) -> Path:
    """A directory with somebody's file."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    return tmp_path / "taken"


@pytest.mark.parametrize(
    ("code", "message", "command"),
    [
        (1, "holds something else", ["collect", "gym/CartPole-v1", "--policy", "random", "-o", "{cartpole}"]),
        (1, "holds something else", ["collect", "starpilot", "--episodes", 1, "-o", "{cartpole}"]),
        (1, "is a file", ["collect", "starpilot", "--episodes", 1, "-o", "{cartpole}/x.h5"]),
        (1, "holds something else", ["distill", "{cartpole}", "--samples", 6, "-o", "{small}"]),
        (1, "is a file", ["distill", "{cartpole}", "--steps", 1, "-o", "{cartpole}/x.h5"]),
        (1, "n_samples=9999", ["distill", "{cartpole}", "--method", "random", "--samples", 9999]),
        (1, "n_samples=9999", ["distill", "{cartpole}", "--method", "herding", "--samples", 9999]),
        (1, "holds no evaluation", ["evaluate", "{cartpole}", "{small}", *FEW, "-o", "{taken}"]),
        (1, "is a file", ["evaluate", "{cartpole}", "{small}", *FEW, "-o", "{cartpole}/x"]),
        (1, "is a file", ["sweep", "{cartpole}", "--sizes", 5, "--methods", "random", "-o", "{cartpole}/x"]),
        (1, "n_samples=9999", ["sweep", "{cartpole}", "--sizes", 9999, "--methods", "random"]),
        (2, "split 'moon'", ["sweep", "{cartpole}", "--sizes", 5, "--methods", "random", "--splits", "moon"]),
        (1, "reads images", ["sweep", "{cartpole}", "--sizes", 5, "--methods", "random", "--student", "impala"]),
        (2, "gone.zip", ["sweep", "{cartpole}", "--sizes", 5, "--methods", "random", "--expert", "gone.zip"]),
        (1, "is a directory", ["sweep", "{taken}", "--sizes", 5]),
        (1, "holds no run", ["train-expert", "gym/CartPole-v1", "-o", "{taken}"]),
        (1, "leave --resume out", ["train-expert", "gym/CartPole-v1", "--resume", "-o", "{taken}/new"]),
        (1, "is a directory", ["play", "starpilot", "{taken}", "-o", "{taken}/x.gif"]),
        (1, "is no policy", ["play", "starpilot", "{cartpole}", "-o", "{taken}/x.gif"]),
        (1, "exists already", ["gallery", "{small}", "-o", "{taken}/mine.png"]),
        (1, "needs images", ["gallery", "{small}", "-o", "{taken}/x.png"]),
        (2, "ends in .png", ["gallery", "{small}", "-o", "{taken}/x.jpg"]),
        (1, "is a dataset", ["report", "{cartpole}"]),
        (1, "is a file", ["quickstart", "-o", "{cartpole}/x"]),
        (1, "is a file", ["datasets", "make", COLLECTED, "--data-directory", "{cartpole}/x"]),
        (1, "is a directory", ["import", "gen-dgrl", "{taken}", "--game", "coinrun"]),
    ],
)  # fmt: skip
def test_a_dry_run_refuses_what_the_run_refuses(
    code: int,
    message: str,
    command: list[Any],
    cartpole: Path,
    small: Path,
    taken: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))  # where a sweep begins before a cell fails
    if command[0] == "train-expert":
        pytest.importorskip("stable_baselines3")
    (taken / "mine.png").write_text("mine")
    before = sorted(taken.parent.rglob("*"))
    typed = [str(word).format(cartpole=cartpole, small=small, taken=taken) for word in command]
    fails(code, message, *typed, "-n")
    fails(code, message, *typed)
    assert sorted(taken.parent.rglob("*")) == before and (taken / "mine.png").read_text() == "mine"


def test_a_dry_run_says_how_long_it_takes_and_leaves_nothing(
    cartpole: Path, small: Path, distilled_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    commands: list[list[object]] = [
        ["sweep", cartpole, "--sizes", "5,6", "--seeds", 2, "--methods", "random,labels", "--steps", 4, *FEW[:-2]],
        ["play", "starpilot", "random", "-o", "x.gif", "--max-steps", 3],
        ["gallery", distilled_file, "-o", "x.png"],
        ["datasets", "make", COLLECTED],
        ["import", "gen-dgrl", coinrun(cartpole.with_name("coinrun.tar.xz")), "--game", "coinrun"],
    ]
    for command in commands:
        result = run(*command, "--dry-run", "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["seconds"] > 0
        assert f"would {command[0]}" in f"would {json.loads(result.stdout)['would']}"
        assert run(*command, "-n").stdout.startswith("would ")
    assert run("quickstart", "-n").stdout.startswith("would ")
    assert list(tmp_path.iterdir()) == []


def test_the_dry_run_of_a_training_times_its_first_updates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("stable_baselines3")
    monkeypatch.setattr(estimates, "ENOUGH", 1.0)
    command = ["train-expert", "gym/CartPole-v1", "--steps", 10_000_000, "-o", tmp_path / "run", "-n", "--json"]
    whole = run(*command)
    assert whole.exit_code == 0, whole.output
    assert json.loads(whole.stdout)["seconds"] > 60  # ten million steps
    stopped = run(*command, "--max-minutes", 0.5)
    assert json.loads(stopped.stdout)["seconds"] == 30
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_that_finds_its_own_work_says_so(cartpole: Path, small: Path) -> None:
    collected = ["collect", "gym/CartPole-v1", "--policy", "random", "--episodes", 10, "-o", cartpole]
    for command in (collected, ["distill", cartpole, "--method", "random", "--samples", 5, "-o", small]):
        assert "nothing would be done" in run(*command, "-n").stdout
        assert json.loads(run(*command, "-n", "--json").stdout)["done"] is True


def test_an_evaluation_of_other_settings_is_refused_before_it_runs(
    cartpole: Path, small: Path, tmp_path: Path
) -> None:
    command = [
        "evaluate",
        cartpole,
        small,
        *FEW,
        "--splits",
        "train",
        "--arms",
        "distilled-5",
        "-o",
        tmp_path / "e",
    ]
    assert run(*command).exit_code == 0
    assert run(*command, "-n").exit_code == 0
    fails(1, "differs in episodes", *command, "--episodes", 3, "-n")


def test_a_missing_or_misplaced_set_is_named(cartpole: Path, small: Path) -> None:
    fails(2, "rld-distill distill", "evaluate", cartpole)
    fails(1, "cart-5.h5 is the distilled one: give the real dataset first", "evaluate", small, cartpole)
    fails(1, "make one with 'rld-distill distill'", "evaluate", cartpole, cartpole)


def test_a_system_error_names_its_path() -> None:
    said = explain(FileNotFoundError(2, "No such file or directory", "/proc/x"))
    assert said == "/proc/x cannot be used: no such file or directory; give another path, or change its rights."


def coinrun(path: Path, games: tuple[str, ...] = ("coinrun", "coinrun")) -> Path:
    """An archive with an episode in each of the folders."""
    with tarfile.open(path, "w:xz", preset=0) as tar:
        for number, game in enumerate(games):
            value = episode(5 + number, seed=number)
            info = tarfile.TarInfo(f"{game}/{name_of(value, number)}")
            info.size = len(as_npy(value))
            tar.addfile(info, io.BytesIO(as_npy(value)))
    return path


def test_an_archive_of_another_game_or_of_two_is_refused(tmp_path: Path) -> None:
    one = make_archive(tmp_path / "a.tar.xz", {name_of(episode(5)): as_npy(episode(5))})  # in the folder coinrun
    two = coinrun(tmp_path / "two.tar.xz", ("bigfish", "coinrun"))
    out = tmp_path / "x.h5"
    fails(1, "an episode of coinrun, not of bigfish: give --game coinrun", "import", "gen-dgrl", one, "--game",
          "bigfish", "-o", out)  # fmt: skip
    fails(1, "an episode of coinrun, not of bigfish", "import", "gen-dgrl", two, "--game", "bigfish", "-o", out)
    named = coinrun(tmp_path / "maze.tar.xz")
    fails(1, "has the name of maze's episodes", "import", "gen-dgrl", named, "--game", "coinrun", "-o", out)
    assert not out.exists()
    assert run("import", "gen-dgrl", one, "--game", "coinrun", "-o", out).exit_code == 0


def test_an_import_is_evaluated_without_an_expert_and_a_note_says_so(tmp_path: Path) -> None:
    real, few = tmp_path / "coinrun.h5", tmp_path / "few.h5"
    assert (
        run("import", "gen-dgrl", coinrun(tmp_path / "a.tar.xz"), "--game", "coinrun", "-o", real).exit_code == 0
    )
    distill_to_file(load(real), few, "random", n_samples=3)
    command = ["evaluate", real, few, *FEW, "--splits", "id", "-o", tmp_path / "e"]
    notes = json.loads(run(*command, "-n", "--json").stdout)["notes"]
    assert any("no arm 'expert'" in note and "--expert" in note for note in notes)
    result = run(*command, "--arms", "random-policy,distilled-3")
    assert result.exit_code == 0 and "| distilled-3 |" in result.stdout
    assert "no arm 'expert'" not in result.stderr  # nobody asked for it
    fails(1, "starpilot plays starpilot, not coinrun", *command, "--expert", "starpilot")


def test_arms_of_the_same_episodes_are_named(tmp_path: Path) -> None:
    short = OfflineDataset(make_buffer([30, 2, 2], shape=(4,), action_size=3), name="short.h5")
    long = OfflineDataset(make_buffer([5] * 40, shape=(4,), action_size=3))
    student = MlpStudent()
    for dataset, expected in ((short, True), (long, False)):
        few = RandomCoreset(n_samples=2).distill(dataset, np.random.default_rng(0))
        notes = equal_arms(dataset, standard_arms("mlp", student, dataset, {"distilled-2": few}, Protocol()))
        assert bool(notes) == expected
        assert all("train on the very same episodes" in note and "bc-10, bc-25" in note for note in notes)


def test_teachers_bring_their_settings(
    starpilot_dataset: OfflineDataset, starpilot_file: Path, tmp_path: Path
) -> None:
    soft, few = tmp_path / "soft.h5", tmp_path / "few.h5"
    made = ["--method", "labels", "--student", "impala-s2d", "--n-teachers", 2, "--teacher-steps", 2]
    assert run("distill", starpilot_file, *made, "--samples", 8, "--sharpness", 2, "-o", soft).exit_code == 0
    given = ["distill", starpilot_file, "--method", "labels", "--teachers", soft, "--samples", 4, "-o", few]
    assert run(*given).exit_code == 0
    mine, theirs = Distilled.load(few), Distilled.load(soft)
    assert mine.sources is not None and theirs.sources is not None
    np.testing.assert_array_equal(mine.sources, theirs.sources[:4])
    assert mine.provenance is not None and mine.provenance.settings["config"]["teacher_steps"] == 2
    fails(2, "have teacher_steps=2, asked for was 3", *given[:-1], tmp_path / "x.h5", "--teacher-steps", 3)
    configured, recorded = configure(starpilot_dataset, "labels", teachers=soft, n_samples=4)
    assert configured.total_steps == 0 and recorded["teachers_sha256"]


def test_a_file_of_d3rlpys_own_is_described_from_its_episodes(tmp_path: Path) -> None:
    path = tmp_path / "plain.h5"
    buffer = make_buffer([9, 5], action_size=5, shape=(4,))
    with path.open("w+b") as file:
        buffer.dump(file)
    shown = json.loads(run("datasets", "show", path, "--json").stdout)
    assert shown["num_episodes"] == 2 and shown["num_transitions"] == buffer.transition_count
    returns = [one.compute_return() for one in buffer.episodes]
    assert shown["return_mean"] == pytest.approx(np.mean(returns))
    assert sum(shown["action_histogram"]) == shown["num_transitions"]
    assert None not in shown.values()
    assert read_info(path).num_transitions is None


def interrupt(*arguments: Any, **settings: Any) -> None:
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_promises_no_more_than_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(command: list[object], target: str, raised: Callable[..., None] = interrupt) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(target, raised)
            result = run(*command)
        assert result.exit_code == 130 and result.stdout == ""
        return result.stderr

    anew = "Interrupted: nothing of it was kept; run the same command again to begin anew.\n"
    out = tmp_path / "a.h5"
    played = "procgen_datasets.task.collect"
    assert said(["collect", "starpilot", "-o", out], played) == anew

    def after_a_block(*arguments: Any, **settings: Any) -> None:
        block = out.with_name(out.name + PARTS) / "0.h5"
        block.parent.mkdir()
        block.touch()
        interrupt()

    assert "to go on after the last whole block" in said(
        ["collect", "starpilot", "-o", out], played, after_a_block
    )
    film = ["play", "starpilot", "random", "-o", tmp_path / "x.gif"]
    assert said(film, "d3rlpy_distill.report.film.save_film") == anew
