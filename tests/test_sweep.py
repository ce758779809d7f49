"""The sweep: real cells, resumption, failures that spare the others, and its arithmetic."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from buffers import vectors
from commands import fails, run
from d3rlpy_distill import ActionKernelConfig, Distilled, OfflineDataset
from d3rlpy_distill.data.hdf5 import read_info
from d3rlpy_distill.errors import DistillError, SettingsError, UnknownNameError
from d3rlpy_distill.evaluation import ArmKind, ArmResult, PartialBudget, Protocol, Results
from d3rlpy_distill.files.documents import DIGEST
from d3rlpy_distill.report import read_report, render, save_size_curve, sweep_tables
from d3rlpy_distill.sweeping import SweepCell, SweepConfig, load_sweep, plan_sweep, read_study, save_sweep, sweep
from d3rlpy_distill.sweeping import plan as planning
from entries import SPLITS, entry

QUICK = ["--steps", 1, "--students", 2, "--episodes", 1, "--small-steps", 2, "--full-steps", 2]
CONFIG = SweepConfig(
    steps=1,
    protocol=Protocol(2, 2, full=PartialBudget(2), small=PartialBudget(2, 4)),
)


def arm(
    name: str, kind: str, size: int | None, split: str, returns: Any, seconds: float, student: str
) -> ArmResult:
    return entry(name, ArmKind(kind, size, student=student), returns, split=split, seconds=seconds)


def cell(
    samples: int,
    seed: int,
    distilled: float,
    seconds: float,
    *,
    full: bool = True,
    task: str = "procgen/starpilot",
    data: str = "abc",
    student: str = "paper",
) -> SweepCell:
    arms = []
    for split in ("id", "ood"):
        arms.append(arm(f"random-{samples}", "random", samples, split, [[1.0], [2.0]], 0.5, student))
        returns = [[distilled], [distilled + 1]]
        arms.append(arm(f"distilled-{samples}", "distilled", samples, split, returns, 0.5, student))
        if full:
            arms.append(arm("bc-100", "full", None, split, [[4.0], [5.0]], 60.5, student))
    provenance = {"real": {"file": f"{data}.h5"}}
    results = Results(task, {"real_sha256": data}, provenance, SPLITS, arms)
    return SweepCell("gradient", samples, seed, seconds, results)


def test_break_even_is_the_time_of_distilling_over_what_a_student_saves() -> None:
    returns, cost = sweep_tables([cell(5, 0, 3.0, 601.0), cell(5, 1, 3.0, 600.0, full=False)])
    first, second = (dict(zip(cost.columns, row, strict=True)) for row in cost.rows)
    assert first["seconds saved a student"] == "60.0" and first["break-even, students"] == "11"
    assert second["seconds saved a student"] == second["break-even, students"] == ""
    unknown = sweep_tables([cell(5, 0, 3.0, float("nan"))])[1]
    assert unknown.rows[0][-1] == "" and unknown.rows[0][4] == "nan"
    row = dict(zip(returns.columns, returns.rows[0], strict=True))
    assert row["bc-100, id"] == "4.50 ± 0.71" and returns.rows[1][-1] == ""
    assert row["random, id"] == "1.50 ± 0.71" and row["distilled, ood"] == "3.50 ± 0.71"
    assert row["gain [95%], id"].startswith("+2.00 [") and row["task"] == "starpilot"


def test_students_of_everything_serve_all_cells_of_a_dataset_and_seed() -> None:
    cells = [cell(5, 0, 3.0, 600.0), cell(9, 0, 3.0, 300.0, full=False), cell(9, 1, 3.0, 300.0, full=False)]
    returns, cost = sweep_tables(cells)
    assert [row[-1] for row in cost.rows] == ["10", "5", ""]
    assert [row[-1] for row in returns.rows] == ["4.50 ± 0.71", "4.50 ± 0.71", ""]


def test_students_of_everything_serve_no_other_dataset_task_or_student() -> None:
    changes: list[dict[str, Any]] = [{"data": "def"}, {"task": "gym/X"}, {"student": "impala"}]
    cells = [cell(5, 0, 3.0, 600.0), *(cell(5, 0, 3.0, 600.0, full=False, **change) for change in changes)]
    returns, cost = sweep_tables(cells)
    assert [row[-1] for row in returns.rows] == ["4.50 ± 0.71", "", "", ""]
    assert [row[-1] for row in cost.rows] == ["10", "", "", ""]
    # which tells them apart
    assert [row[0] for row in returns.rows] == [
        "starpilot, abc.h5, paper", "starpilot, def.h5, paper", "X", "starpilot, abc.h5, impala"
    ]  # fmt: skip


def test_a_cell_without_random_samples_or_distilled_set_has_empty_cells() -> None:
    whole = cell(5, 0, 3.0, 600.0)
    arms = [one for one in whole.results.arms if one.about.kind == "full"]
    part = SweepCell("labels", 9, 0, 1.0, Results(whole.task, whole.results.protocol, {}, {"id": "seen"}, arms))
    returns, cost = sweep_tables([whole, part])
    assert returns.rows[1][4:] == ("", "", "", "4.50 ± 0.71", "", "", "", "4.50 ± 0.71") and len(cost.rows) == 1


def test_students_of_everything_are_trained_once_a_dataset_and_seed(cartpole: Path, tmp_path: Path) -> None:
    plan = plan_sweep([cartpole], ["gradient", "labels"], [8, 5, 8], 2, tmp_path, full=True, config=CONFIG)
    assert [(c.method, c.seed, c.samples) for c in plan.cells if c.full] == [
        ("gradient", 0, 5),
        ("gradient", 1, 5),
    ]
    assert [c.name for c in plan.cells] == [
        f"cart-{method}-{size}-{seed}" for method in ("gradient", "labels") for seed in (0, 1) for size in (5, 8)
    ]
    assert [c.name for c in plan.cells if c.taught_by] == ["cart-labels-8-0", "cart-labels-8-1"]
    assert all(c.taught_by.samples == 5 and c.taught_by.seed == c.seed for c in plan.cells if c.taught_by)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"methods": ["labls"]}, UnknownNameError, "did you mean 'labels'"),
        ({"config": SweepConfig(student="papr")}, UnknownNameError, "did you mean 'paper'"),
        ({"sizes": [0, 5]}, SettingsError, "sizes of 1 or more"),
        ({"sizes": []}, SettingsError, "expected one or more of each"),
        ({"seeds": 0}, SettingsError, "expected one or more of each"),
        ({"datasets": []}, SettingsError, "expected one or more of each"),
        ({"datasets": ["missing.h5"]}, DistillError, "missing.h5 does not exist: make it with"),
    ],
)
def test_what_cannot_be_swept_is_named(
    arguments: dict[str, Any], error: type[Exception], message: str, cartpole: Path
) -> None:
    with pytest.raises(error) as failure:
        plan_sweep(**{"datasets": [cartpole], **arguments})
    assert message in str(failure.value) and "\n" not in str(failure.value)


def test_a_sweep_is_read_back_and_reported(tmp_path: Path) -> None:
    cells = [cell(5, 0, 3.0, 600.0), cell(50, 0, 4.0, float("nan"), full=False)]
    save_sweep(cells, tmp_path / "sweep.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sweep.json", "sweep.npz"]
    loaded = read_report(tmp_path)
    assert isinstance(loaded, list) and np.isnan(loaded[1].seconds) and loaded[0].task == "procgen/starpilot"
    for read, written in zip(loaded, cells, strict=True):
        assert read.to_json() == written.to_json()
        for a, b in zip(read.results.arms, written.results.arms, strict=True):
            np.testing.assert_array_equal(a.returns, b.returns)
    result = run("report", tmp_path / "sweep.json", "--figures", tmp_path / "figures")
    assert result.exit_code == 0 and result.stdout.strip() == render(sweep_tables(cells)).strip()
    assert (tmp_path / "figures" / "size-curve.png").exists()
    before = (tmp_path / "sweep.json").read_bytes(), (tmp_path / "sweep.npz").read_bytes()
    save_sweep(cells, tmp_path / "sweep.json")
    assert before == ((tmp_path / "sweep.json").read_bytes(), (tmp_path / "sweep.npz").read_bytes())


def test_damaged_sweeps_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "sweep.json"
    save_sweep([cell(5, 0, 3.0, 600.0)], path)
    value = json.loads(path.read_text())
    path.write_text(json.dumps({**value, "schema": 3}))
    fails(1, "was changed after it was written", "report", tmp_path)
    del value[DIGEST]  # which belongs to what it was

    def refused(message: str) -> None:
        fails(1, message, "report", tmp_path)

    for damaged in ({**value, "schema": 3}, {"cells": [{"game": "starpilot"}]}, {**value, "cells": [{}]}):
        path.write_text(json.dumps(damaged))
        refused("of schema 3" if damaged.get("schema") == 3 else "do not follow the schema of 'rld-distill sweep'")
    path.write_text(json.dumps(value))
    packed = path.with_suffix(".npz")
    packed.write_bytes(packed.read_bytes()[:-1])
    refused("sweep.npz was changed")
    packed.unlink()
    refused("sweep.npz does not exist")


def test_a_sweep_of_version_0_1_is_read(tmp_path: Path) -> None:
    arms = [
        {
            "name": name, "split": split, "mode": "sampled", "mean": 1.5, "std": 0.5, "iqm": 1.5, "ci95": [1.0, 2.0],
            "normalised": 0.0, "n_students": 2, "n_episodes": 1, "samples": 5, "bytes": 10, "train_seconds": 1.0,
            "returns": [[1.0], [2.0]],
        }
        for name in ("bc-100", "random-5", "soft-5")
        for split in ("id", "ood")
    ]  # fmt: skip
    results = {"game": "starpilot", "protocol": {"seed": 0}, "provenance": {}, "arms": arms}
    old = [{"game": "starpilot", "method": "labels", "samples": 5, "seed": 0, "seconds": seconds, "results": results}
           for seconds in (20.0, None)]  # fmt: skip
    (tmp_path / "sweep.json").write_text(json.dumps({"cells": old}))
    loaded = load_sweep(tmp_path / "sweep.json")
    assert [(c.task, c.method, c.samples, c.seed) for c in loaded] == [("procgen/starpilot", "labels", 5, 0)] * 2
    assert loaded[0].seconds == 20.0 and np.isnan(loaded[1].seconds)
    for kind, name in (("distilled", "soft-5"), ("random", "random-5"), ("full", "bc-100")):
        found = loaded[0].arm(kind, "ood")
        assert found is not None and found.name == name and found.returns.tolist() == [[1.0], [2.0]]


def test_the_curve_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "curve.png"
    cells = [
        cell(5, 0, 3.0, 1),
        cell(50, 0, 4.0, 1),
        cell(50, 1, 5.0, 1, full=False),
        cell(5, 0, 1.0, 1, task="gym/X"),
    ]
    assert save_size_curve(cells, path) == path
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_sweep_runs_resumes_and_reports(cartpole: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    command = ["sweep", cartpole, "--sizes", "15,5", "--splits", "test,validation", "--out", out, *QUICK]
    first = run(*command, "--json")
    assert first.exit_code == 0, first.output
    records = [one for one in json.loads(first.stdout)["records"] if one["kind"] == "distilled"]
    assert [(one["size"], one["split"]) for one in records if one["mode"] == "sampled"] == [
        (5, "test"), (5, "validation"), (15, "test"), (15, "validation"),
    ]  # fmt: skip
    assert all(one["method"] == "gradient" and one["distillation_seconds"] > 0 for one in records)
    name = "cart-gradient-5-0"
    assert (out / "size-curve.png").exists() and (out / f"{name}.h5").exists()
    results = Results.load(out / name)
    assert results.names() == ["random-5", "distilled-5"] and list(results.splits) == ["test", "validation"]
    trained = sorted(path.stat().st_mtime_ns for path in out.rglob("*.safetensors"))
    for name in ("sweep.json", "sweep.npz", "size-curve.png"):  # as if it had been killed before the end
        (out / name).unlink()
    again = run(*command, "--json")
    assert again.exit_code == 0 and json.loads(again.stdout) == json.loads(first.stdout)
    assert sorted(path.stat().st_mtime_ns for path in out.rglob("*.safetensors")) == trained
    further = run("sweep", cartpole, "--sizes", "6", "--splits", "test,validation", "--out", out, *QUICK, "--json")
    assert further.exit_code == 0, further.output
    assert {one["size"] for one in json.loads(further.stdout)["records"]} == {6}
    assert [cell.samples for cell in load_sweep(out / "sweep.json")] == [5, 15, 6]  # an earlier sweep's stay
    (out / "sweep.npz").write_bytes(b"")  # as if it had been killed between the two files
    assert run(*command).exit_code == 0
    assert [cell.samples for cell in load_sweep(out / "sweep.json")] == [5, 15]
    other = "cells of another protocol (it differs in students), and one table would show both"
    fails(1, other, *command, "--students", 3)
    fails(1, other, *command, "--students", 3, "-n")
    record = (out / "sweep.json").read_text()
    (out / "sweep.json").write_text(record.replace('"samples":5', '"samples":6', 1))
    fails(1, "sweep.json", *command)  # damaged: its other cells are not thrown away
    (out / "sweep.json").unlink()
    assert run(*command).exit_code == 0 and (out / "sweep.json").read_text() == record
    (out / "cart-gradient-5-0.h5").write_text("mine")
    fails(1, "cart-gradient-5-0.h5", *command, "-n")


def test_the_commands_of_a_cell_are_those_that_make_it(
    cartpole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a cell records as its commands gives the same samples and the same returns."""
    monkeypatch.setattr(planning, "loaded_plugins", lambda: [])  # other tests of this process may have loaded some
    results = sweep([cartpole], ["gradient"], [5], 1, tmp_path / "sweep", full=True, config=CONFIG)
    assert not results.failed
    (cell,) = results.cells
    distil = cell.results.provenance["distilled"]["distilled-5"]["command"].split()
    evaluate = cell.results.provenance["command"].split()
    assert distil[:2] == ["rld-distill", "distill"] and evaluate[:2] == ["rld-distill", "evaluate"]
    other = tmp_path / "other.h5"
    made = run(*distil[1:-1], other)
    assert made.exit_code == 0, made.output
    assert read_info(other).content_sha256 == read_info(tmp_path / "sweep" / "cart-gradient-5-0.h5").content_sha256
    played = run(*evaluate[1:-1], tmp_path / "evaluation")
    assert played.exit_code == 0, played.output
    again = Results.load(tmp_path / "evaluation")
    assert again.names() == cell.results.names() == ["bc-100", "random-5", "distilled-5"]
    for a, b in zip(again.arms, cell.results.arms, strict=True):
        np.testing.assert_array_equal(a.returns, b.returns)
    config = dataclasses.replace(CONFIG, expert="p.zip", trust=True)
    (trusting,) = plan_sweep([cartpole], ["random"], [5], 1, tmp_path / "x", config=config).cells
    assert "--expert p.zip --trust --seed 0" in trusting._evaluate_command(["random-5"])
    monkeypatch.setattr(
        planning, "loaded_plugins", lambda: [Path.cwd() / "mine" / "a.py", Path("/elsewhere/b.py")]
    )
    assert "--plugin mine/a.py --plugin /elsewhere/b.py" in trusting.command


def test_a_preset_is_that_of_every_cell(tmp_path: Path) -> None:
    dataset = OfflineDataset(vectors(continuous=True), task="gym/Pendulum-v1")
    (tmp_path / "v.h5").touch()
    config = SweepConfig(preset="percentile")
    (cell,) = plan_sweep([tmp_path / "v.h5"], ["kernel-actions"], [5], config=config).cells
    method = cell.configure(dataset)
    assert isinstance(method, ActionKernelConfig) and method.imitate == "students" and method.n_samples == 5
    assert "--preset percentile" in cell.command
    (other,) = plan_sweep([tmp_path / "v.h5"], ["kernel-actions"], [5]).cells
    unlike = other.configure(dataset)
    assert "--preset" not in other.command
    assert isinstance(unlike, ActionKernelConfig) and unlike.imitate == "recorded"
    (without,) = plan_sweep([tmp_path / "v.h5"], ["random"], [5], config=config).cells
    with pytest.raises(SettingsError, match="percentile"):
        without.configure(dataset)


def test_a_preset_that_a_method_lacks_is_named(cartpole: Path, tmp_path: Path) -> None:
    fails(
        2, "nothing", "sweep", cartpole, "--preset", "nothing", "--sizes", 5, "--out", tmp_path / "s", "--dry-run"
    )


def test_soft_labels_are_swept_under_their_own_name_and_taught_once(cartpole: Path, tmp_path: Path) -> None:
    seen: list[str] = []
    results = sweep(
        [cartpole], ["labels", "herding"], [5, 8], 1, tmp_path, config=CONFIG,
        on_cell=lambda cell, error: seen.append(cell.name),
    )  # fmt: skip
    names = [f"cart-{method}-{size}-0" for method in ("labels", "herding") for size in (5, 8)]
    assert not results.failed and [(c.method, c.samples) for c in results.cells] == [
        ("labels", 5), ("labels", 8), ("herding", 5), ("herding", 8)
    ]  # fmt: skip
    assert seen == [names[0], *names[2:], names[1]]  # the taught one comes last
    assert results.cells[0].results.names() == ["random-5", "soft-5"]
    assert results.cells[2].results.names() == ["random-5", "distilled-5"]
    budget = results.cells[0].results.protocol["budgets"]["mlp"]["small"]
    assert budget == {"n_steps": 2, "batch_size": 4}
    # one training of the teachers, which counts as time of both
    info = read_info(tmp_path / "cart-labels-8-0.h5")
    assert info.provenance is not None
    settings = info.provenance.settings
    teachers = Distilled.load(tmp_path / "cart-labels-5-0.h5").teachers
    assert teachers is not None and settings["teachers_sha256"] == teachers.sha256
    own = [json.loads((tmp_path / f"{name}.json").read_text())["seconds"] for name in names[:2]]
    assert [c.seconds for c in results.cells[:2]] == [own[0], own[1] + own[0]]


@pytest.mark.slow
def test_processes_find_what_one_process_finds(cartpole: Path, tmp_path: Path) -> None:
    """Two cells in processes of their own, one of a method that only a plug-in has."""
    plugin = tmp_path / "last.py"
    plugin.write_text(
        "import dataclasses\nimport numpy as np\nfrom d3rlpy_distill import Coreset, register_coreset\n"
        "@register_coreset('last')\n@dataclasses.dataclass(frozen=True, kw_only=True)\nclass Last(Coreset):\n"
        "    def choose(self, data, rng):\n        return np.arange(len(data) - self.n_samples, len(data))\n"
    )
    found = []
    for jobs in (1, 2):
        command = [
            "sweep",
            cartpole,
            "--plugin",
            plugin,
            "--methods",
            "gradient,last",
            "--sizes",
            "5",
            "--jobs",
            jobs,
        ]
        result = run(*command, "--out", tmp_path / f"{jobs}", *QUICK, "--splits", "validation", "--json")
        assert result.exit_code == 0, result.output
        found.append(load_sweep(tmp_path / f"{jobs}" / "sweep.json"))
    assert [c.method for c in found[1]] == ["gradient", "last"]
    for one, other in zip(*found, strict=True):
        assert list(one.results.splits) == list(other.results.splits) == ["validation"]
        assert one.results.protocol == other.results.protocol
        for a, b in zip(one.results.arms, other.results.arms, strict=True):
            np.testing.assert_array_equal(a.returns, b.returns)


def test_a_cell_that_fails_leaves_the_others(cartpole: Path, tmp_path: Path) -> None:
    result = run("sweep", cartpole, "--sizes", "5,1000000", "--out", tmp_path, *QUICK)
    assert result.exit_code == 1
    assert "1 of 2 cells failed" in result.stderr and "n_samples=1000000: expected 1 to" in result.stderr
    assert "| CartPole-v1 | gradient | 5 | 0 |" in result.stdout
    assert [c.samples for c in load_sweep(tmp_path / "sweep.json")] == [5]
    several = run("sweep", cartpole, "--sizes", "5,1000000,2000000", "--out", tmp_path, *QUICK)
    assert "2 of 3 cells failed" in several.stderr
    assert all(f"n_samples={size}: expected 1 to" in several.stderr for size in (1000000, 2000000))


def test_cells_whose_teachers_failed_say_so(cartpole: Path, tmp_path: Path) -> None:
    (tmp_path / "cart-labels-5-0.h5").write_text("something else")
    results = sweep([cartpole], ["labels"], [5, 8], 1, tmp_path, config=CONFIG)
    assert not results.cells and not (tmp_path / "sweep.json").exists()
    assert list(results.failed) == ["cart-labels-5-0", "cart-labels-8-0"]
    assert all(isinstance(error, DistillError) for error in results.failed.values())


def test_a_smaller_size_is_taught_by_the_teachers_that_are_there(cartpole: Path, tmp_path: Path) -> None:
    first = sweep([cartpole], ["labels"], [8], 1, tmp_path, config=CONFIG)
    further = sweep([cartpole], ["labels"], [5, 8], 1, tmp_path, config=CONFIG)
    assert not first.failed and not further.failed
    teachers = [Distilled.load(tmp_path / f"cart-labels-{size}-0.h5").teachers for size in (5, 8)]
    assert teachers[0] is not None and teachers[1] is not None and teachers[0].sha256 == teachers[1].sha256
    assert not sweep([cartpole], ["labels"], [5], 1, tmp_path, config=CONFIG).failed


def test_students_that_take_no_soft_labels_are_named(cartpole: Path, tmp_path: Path) -> None:
    config = SweepConfig(student="dqn", steps=1, protocol=CONFIG.protocol)
    error = sweep([cartpole], ["labels"], [5], 1, tmp_path, config=config).failed["cart-labels-5-0"]
    assert isinstance(error, DistillError)


@pytest.mark.parametrize("begun", [True, False])
def test_the_time_of_an_interrupted_distillation_is_unknown(
    begun: bool, cartpole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_sweep([cartpole], ["gradient"], [5], 1, tmp_path, config=CONFIG)
    if begun:
        plan.run()
        (tmp_path / "cart-gradient-5-0.json").unlink()  # as a process leaves it that is killed in between
    (cell,) = plan.run().cells
    assert np.isfinite(cell.seconds) != begun


@pytest.mark.parametrize(
    ("code", "message", "options"),
    [
        (2, "unknown method 'magic'", ["--methods", "magic"]),
        (2, "expected numbers of 1 or more", ["--sizes", "5,many"]),
        (2, "expected numbers of 1 or more", ["--sizes", "0"]),
        (2, "99999999999 is not in the range 1<=x<=1000", ["--seeds", "99999999999"]),
        (2, "unknown executor 'foo'", ["--executor", "foo", "-n"]),
        (2, "--unseen-levels is now --splits: give one of the two", ["--unseen-levels", "all", "--splits", "id"]),
        (1, "missing.h5 does not exist", ["missing.h5"]),
    ],
)
def test_bad_input(code: int, message: str, options: list[str], cartpole: Path) -> None:
    fails(code, message, "sweep", cartpole, *options)


def test_two_files_of_one_name_are_refused_and_a_dry_run_names_the_cells(cartpole: Path, tmp_path: Path) -> None:
    fails(2, "the same file name", "sweep", cartpole, cartpole)
    command = ["sweep", cartpole, "--sizes", "5", "--seeds", 2, "--out", tmp_path / "new", "--dry-run", *QUICK]
    result = run(*command, "--json")
    assert json.loads(result.stdout)["cells"] == ["cart-gradient-5-0", "cart-gradient-5-1"]
    assert not (tmp_path / "new").exists()
    units = json.loads(result.stdout)["units"]
    assert [(one["cell"], one["name"], one["units"]) for one in units] == [
        (f"cart-gradient-5-{seed}", name, count)
        for seed in (0, 1)
        for name, count in (
            ("distilling", 1), ("training random-5", 2), ("playing random-5", 2),
            ("training distilled-5", 2), ("playing distilled-5", 2),
        )
    ]  # fmt: skip
    assert all(one["seconds"] > 0 and one["cores"] == 1 for one in units)
    assert sum(one["units"] * one["seconds"] for one in units) == pytest.approx(
        json.loads(result.stdout)["seconds"]
    )
    text = run(*command, "--cores", 3).stdout
    assert "would run 2 cells, 18 units of 3 cores each" in text and "\n  2 x training random-5, " in text


STUDY = """
datasets = ["{0}"]
methods = ["labels", "herding"]
sizes = [8, 5]
students = ["mlp", "dqn"]
seeds = [3]

[distillation]
steps = 2

[evaluation]
students = 1
episodes = 2
splits = ["validation"]
full = true
full_steps = 2
small_steps = 3
small_batch = 4
"""


def test_a_study_says_what_the_axes_are(cartpole: Path, tmp_path: Path) -> None:
    """Two students of which one takes no soft labels: its cells fail, and the others are there."""
    study, out = tmp_path / "study.toml", tmp_path / "out"
    study.write_text(STUDY.format(cartpole))
    plan = read_study(study).plan(out)
    study.write_text(STUDY.format(cartpole).replace("steps = 2\n", 'steps = 2\npreset = "other"\n', 1))
    assert read_study(study).config.preset == "other"
    study.write_text(STUDY.format(cartpole))
    assert plan.cells == plan_sweep(
        [cartpole], ["labels", "herding"], [5, 8], [3], out, students=["mlp", "dqn"], full=True,
        config=SweepConfig(
            steps=2, splits=("validation",), protocol=Protocol(1, 2, PartialBudget(2), PartialBudget(3, 4))
        ),
    ).cells  # fmt: skip
    names = [f"cart-{student}-{method}-{size}-3"
             for student in ("mlp", "dqn") for method in ("labels", "herding") for size in (5, 8)]  # fmt: skip
    assert [cell.name for cell in plan.cells] == names
    assert [cell.full for cell in plan.cells] == [True, False, False, False] * 2
    result = run("sweep", study, "--out", out, "--jobs", 1, "--json")
    assert result.exit_code == 1 and "2 of 8 cells failed" in result.stderr
    cells = load_sweep(out / "sweep.json")
    assert [(cell.source[2], cell.method, cell.samples) for cell in cells] == [
        ("mlp", "labels", 5), ("mlp", "labels", 8), ("mlp", "herding", 5), ("mlp", "herding", 8),
        ("dqn", "herding", 5), ("dqn", "herding", 8),
    ]  # fmt: skip
    assert cells[0].results.names() == ["bc-100", "random-5", "soft-5"]
    heads = {row[0] for row in sweep_tables(cells)[0].rows}
    assert heads == {"CartPole-v1, mlp", "CartPole-v1, dqn"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sizes = [5]", "names no datasets"),
        ("datasets = 3", "datasets = 3: expected a list of names"),
        (
            "datasets = ['a.h5']\nsize = [5]",
            "sets size: expected one of datasets, methods, sizes, students, seeds",
        ),
        ("datasets = ['a.h5']\nsizes = [0]", "sizes = [0]: expected a list of numbers of 1 or more"),
        (
            "datasets = ['a.h5']\nseeds = 0",
            "seeds = 0: expected a number of seeds, 1000 at most, or a list of some",
        ),
        (
            "datasets = ['a.h5']\n[evaluation]\nepisodes = true",
            "evaluation.episodes = True: expected a number of 1",
        ),
        ("datasets = ['a.h5']\nevaluation = 1", "evaluation = 1: expected a table"),
        ("datasets = [", "is not valid TOML"),
        ("datasets = ['a.h5']\nstudents = ['mpl']", "a.h5 does not exist"),
    ],
)
def test_what_is_wrong_with_a_study_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(text)
    fails(
        1 if "does not exist" in message else 2, message, "sweep", tmp_path / "study.toml", "--out", tmp_path / "a"
    )
    assert not (tmp_path / "a").exists()


def test_a_study_is_given_alone(cartpole: Path, tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text(STUDY.format(cartpole))
    fails(2, "is a study: give it alone", "sweep", study, cartpole)
    fails(2, "--sizes stands in the study", "sweep", study, "--sizes", "5")
    fails(2, "missing.toml does not exist", "sweep", tmp_path / "missing.toml")


def test_the_levels_of_version_0_1_are_splits(
    starpilot_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs: list[SweepConfig] = []

    def capture(*args: Any, config: SweepConfig, **settings: Any) -> Any:
        configs.append(config)
        return plan_sweep(*args, config=config, **settings)

    monkeypatch.setattr("d3rlpy_distill.sweeping.plan_sweep", capture)
    for options in (["--unseen-levels", "validation"], ["--unseen-levels", "all"], ["--splits", "validation"]):
        old = ["--synthetic-steps", 7, "--synthetic-batch", 3, "--bc-steps", 9]
        few = ["--sizes", 5, "--methods", "random", "--out", tmp_path / "new"]
        result = run("sweep", starpilot_file, *few, *options, *old, "--dry-run")
        assert result.exit_code == 0 and ("Warning: --unseen-levels" in result.stderr) == (
            "--splits" not in options
        )
    assert [config.splits for config in configs] == [("id", "validation"), None, ("validation",)]
    assert configs[0].protocol.small == PartialBudget(7, 3) and configs[0].protocol.full == PartialBudget(9)


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def interrupted(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Presses Ctrl-C, once; the processes of a sweep have ten seconds to end, and more on a busy machine."""
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=60)


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_ctrl_c_stops_at_once_and_the_same_command_goes_on(jobs: int, cartpole: Path, tmp_path: Path) -> None:
    """A sweep of many cells, interrupted after the first one has ended."""
    options = ["--sizes", ",".join(map(str, range(5, 105))), "--out", str(tmp_path), "--jobs", str(jobs)]
    command = [sys.executable, "-m", "rld_distill", "sweep", str(cartpole), *options, *map(str, QUICK)]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    wait_for(lambda: process.poll() is not None or any(tmp_path.glob("*/results.json")))
    out, error = interrupted(process)
    assert (process.returncode, out) == (130, "")
    assert error == "Interrupted: run the same command again to go on.\n"  # nor anything of its processes
    done = len(list(tmp_path.glob("*/results.json")))
    time.sleep(1)
    assert 1 <= len(list(tmp_path.glob("*/results.json"))) == done < 100
    sizes = sorted(int(path.parent.name.split("-")[2]) for path in tmp_path.glob("*/results.json"))
    again = run("sweep", cartpole, "--sizes", ",".join(map(str, sizes)), "--out", tmp_path, *QUICK, "--json")
    assert again.exit_code == 0 and len(json.loads(again.stdout)["metadata"]) == len(sizes)
