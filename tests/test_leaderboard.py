"""The leaderboard: its table by hand, and its script on a tiny task."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from types import ModuleType

import pytest

from cartpole import collect_cartpole
from d3rlpy_distill.errors import SettingsError
from d3rlpy_distill.evaluation import ArmKind, Results
from d3rlpy_distill.report.leaderboard import leaderboard_table
from entries import ABOUT, constant
from test_readme import load_script

T = "a" * 64
KINDS = {
    **ABOUT,
    "herding-20": ArmKind("herding", 20, student="paper"),
    "labels-20": ArmKind("distilled", 20, "soft", "paper", teachers=T),
    "random-labels-20": ArmKind("random", 20, "soft", "paper", of="labels-20", teachers=T),
    "random-labels-80": ArmKind("random", 80, "soft", "paper", of="labels-20", teachers=T),
    "actions-of-labels-20": ArmKind("distilled-actions", 20, student="paper", of="labels-20"),
}
MEANS = {
    "random-policy": 2.0, "expert": 12.0, "bc-100": 10.0, "random-20": 3.0, "herding-20": 4.0, "labels-20": 7.0,
    "random-labels-20": 6.0, "random-labels-80": 8.0, "actions-of-labels-20": 5.0,
}  # fmt: skip


def board(seconds: object = None, full_seconds: float = 11.0) -> dict[str, dict[str, str]]:
    results = constant(MEANS, about=KINDS)
    arms = [
        dataclasses.replace(arm, train_seconds=full_seconds) if arm.name == "bc-100" else arm
        for arm in results.arms
    ]
    told = {"distilled": {"labels-20": {"seconds": seconds}}}
    table = leaderboard_table(dataclasses.replace(results, arms=arms, provenance=told), "id")
    return {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}


def test_methods_and_coresets_of_one_size_stand_in_the_order_of_their_return() -> None:
    rows = board()
    assert list(rows) == [
        "expert", "bc-100", "labels-20", "random-labels-20", "herding-20", "random-20", "random-policy",
    ]  # fmt: skip
    assert rows["labels-20"]["labels"] == "soft" and rows["herding-20"]["labels"] == "actions"
    assert rows["herding-20"]["improvement over random [95%]"] == "+0.10 [+0.10, +0.10]"
    assert rows["herding-20"]["hard-label recovery [95%]"] == "+0.60 [+0.60, +0.60]"
    assert rows["labels-20"]["improvement over random [95%]"] == "+0.10 [+0.10, +0.10]"  # over its own labels
    assert rows["labels-20"]["hard-label recovery [95%]"] == "+0.50 [+0.50, +0.50]"
    assert rows["labels-20"]["a frame is worth [95%]"] == "2.0 [2.0, 2.0]"
    for name in ("expert", "bc-100", "random-20", "random-labels-20", "random-policy"):
        assert not any(rows[name][head] for head in rows[name] if "[95%]" in head), name


def test_distilling_pays_from_so_many_students_on() -> None:
    assert board(95.0)["labels-20"]["break-even, students"] == "10"  # each saves 11 - 1 seconds
    assert board(95.0)["labels-20"]["seconds to distil"] == "95"
    assert board(95.0, full_seconds=1.0)["labels-20"]["break-even, students"] == ""
    for unknown in (None, True, "95"):
        assert board(unknown)["labels-20"]["seconds to distil"] == ""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("leaderboard")


def test_the_script_distils_evaluates_and_goes_on(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # those of an example, which another test may have loaded in this process, have no part in it
    monkeypatch.setattr(script, "CORESETS", ("prior", "random", "balanced", "herding", "k-center"))
    given = argparse.Namespace(
        dataset=str(collect_cartpole(tmp_path / "cartpole.h5")), out=str(tmp_path / "board"),
        methods=["gradient", "labels"], samples=8, random_soft=[20], student="mlp", students=2, episodes=2,
        tune="2x8", tune_students=1, tune_episodes=1, steps=2, seed=0, device="cpu:0", jobs=1,
    )  # fmt: skip
    results = script.run(given)
    assert isinstance(results, Results)
    assert set(results.names()) == {
        "random-policy", "bc-100", "bc-100-soft", "prior-8", "random-8", "balanced-8", "herding-8", "k-center-8",
        "gradient-8", "labels-8", "random-labels-8", "random-labels-20", "actions-of-labels-8",
    }  # fmt: skip
    for name in ("gradient", "labels"):
        seconds = json.loads((tmp_path / "board" / f"{name}-8.json").read_text())["seconds"]
        assert results.provenance["distilled"][f"{name}-8"]["seconds"] == seconds > 0
    assert {str(tuned.best) for tuned in results.tuning.values()} == {"2 x 8"}
    assert set(results.tuning) == {arm.name for arm in results.arms if arm.about.student is not None}
    again = script.run(given)  # neither distils nor trains anew
    assert again.to_json()["arms"] == results.to_json()["arms"]
    shown = leaderboard_table(results, next(iter(results.splits)))
    assert {row[0] for row in shown.rows} == set(results.names()) - {"random-labels-20", "actions-of-labels-8"}
    budgets = {row[0]: row[shown.columns.index("steps x batch")] for row in shown.rows}
    assert budgets["labels-8"] == "2 x 8" and budgets["random-policy"] == ""


def test_what_cannot_distil_the_data_is_left_out_unless_it_is_named(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "CORESETS", ("random",))
    known, every = script.METHODS.names, ["random", "kernel-actions", "gradient"]
    monkeypatch.setattr(script.METHODS, "names", lambda kind=None: every if kind is None else known(kind))
    given = argparse.Namespace(
        dataset=str(collect_cartpole(tmp_path / "cartpole.h5")), out=str(tmp_path / "board"), methods=None,
        samples=8, random_soft=[], student="mlp", students=1, episodes=1, tune="none", tune_students=1,
        tune_episodes=1, steps=1, seed=0, device="cpu:0", jobs=1,
    )  # fmt: skip
    assert "gradient-8" in script.run(given).names()
    assert (
        "kernel-actions is left out: kernel regression of actions with DiscreteBCConfig" in capsys.readouterr().err
    )
    with pytest.raises(SettingsError, match="for BCConfig only"):
        script.run(argparse.Namespace(**{**vars(given), "methods": ["kernel-actions"]}))


def test_the_page_shows_every_board_that_is_kept(tmp_path: Path) -> None:
    update = load_script("update_readme")
    assert update.board_tables(tmp_path) == []
    for game in ("starpilot", "bigfish"):
        constant(MEANS, f"procgen/{game}", about=KINDS).save(tmp_path / f"{game}.json")
    titles = [table.title for table in update.board_tables(tmp_path)]
    assert [title.partition(",")[0] for title in titles] == ["bigfish", "bigfish", "starpilot", "starpilot"]
