"""The sweep: real cells, resumption, failures that spare the others, and its arithmetic."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from commands import fails, run
from d3rlpy_distill.evaluation import Results
from d3rlpy_distill.evaluation.results import ArmResult
from d3rlpy_distill.report import read_report, render
from d3rlpy_distill.report.sweep import save_size_curve, sweep_tables
from d3rlpy_distill.report.sweep_cell import SweepCell, save_sweep
from procgen_datasets.hdf5 import read_info
from rld_distill.sweep_cells import Cell

QUICK = ["--steps", 1, "--students", 2, "--episodes", 1]


def arm(name: str, split: str, returns: list[list[float]], seconds: float) -> ArmResult:
    return ArmResult.from_returns(
        name, split, "sampled", np.array(returns), normalised=0.0, samples=5, n_bytes=2_000_000,
        train_seconds=seconds, seed=0,
    )  # fmt: skip


def cell(samples: int, seed: int, distilled: float, seconds: float, *, full: bool = True) -> SweepCell:
    arms = []
    for split in ("id", "ood"):
        arms.append(arm(f"random-{samples}", split, [[1.0], [2.0]], 0.5))
        arms.append(arm(f"distilled-{samples}", split, [[distilled], [distilled + 1]], 0.5))
        if full:
            arms.append(arm("bc-100", split, [[4.0], [5.0]], 60.5))
    return SweepCell("starpilot", "gradient", samples, seed, seconds, Results("starpilot", {}, {}, arms))


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
    assert row["gain [95%], id"].startswith("+2.00 [")


def test_students_of_everything_serve_all_cells_of_a_game_and_seed() -> None:
    cells = [cell(5, 0, 3.0, 600.0), cell(9, 0, 3.0, 300.0, full=False), cell(9, 1, 3.0, 300.0, full=False)]
    returns, cost = sweep_tables(cells)
    assert [row[-1] for row in cost.rows] == ["10", "5", ""]
    assert [row[-1] for row in returns.rows] == ["4.50 ± 0.71", "4.50 ± 0.71", ""]


def test_students_of_everything_are_trained_once_a_dataset_and_seed(
    starpilot_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms: list[tuple[int, int, str]] = []

    def capture(cells: list[Cell], jobs: int, on_cell: object) -> tuple[list[SweepCell], dict[str, str]]:
        arms.extend((cell.seed, cell.samples, ",".join(cell.arms)) for cell in cells)
        return [], {}

    monkeypatch.setattr("rld_distill.sweep_cells.run_cells", capture)
    options = ["--full", "--methods", "gradient,labels", "--sizes", "5,8", "--seeds", 2]
    assert run("sweep", starpilot_file, *options).exit_code == 0
    assert [arm for arm in arms if "bc-100" in arm[2]] == [
        (seed, 5, "bc-100,random-5,distilled-5") for seed in (0, 1)
    ]
    assert len(arms) == 8


def test_a_sweep_is_read_back_and_reported(tmp_path: Path) -> None:
    cells = [cell(5, 0, 3.0, 600.0), cell(50, 0, 4.0, float("nan"), full=False)]
    save_sweep(cells, tmp_path / "sweep.json")
    loaded = read_report(tmp_path)
    assert isinstance(loaded, list) and loaded[0] == cells[0] and np.isnan(loaded[1].seconds)
    result = run("report", tmp_path / "sweep.json", "--figures", tmp_path / "figures")
    assert result.exit_code == 0 and result.stdout.strip() == render(sweep_tables(cells), "md").strip()
    assert (tmp_path / "figures" / "size-curve.png").exists()
    (tmp_path / "sweep.json").write_text('{"cells": [{"game": "starpilot"}]}')
    fails(1, "do not follow the schema of 'rld-distill sweep'", "report", tmp_path)


def test_the_curve_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "curve.png"
    save_size_curve([cell(5, 0, 3.0, 1), cell(50, 0, 4.0, 1), cell(50, 1, 5.0, 1, full=False)], path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_sweep_runs_resumes_and_reports(starpilot_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    command = ["sweep", starpilot_file, "--sizes", "15,5", "--out", out, *QUICK]
    first = run(*command, "--jobs", 2, "--json")
    assert first.exit_code == 0, first.output
    returns, _ = json.loads(first.stdout)["tables"]
    sizes = [row[returns["columns"].index("samples")] for row in returns["rows"]]
    assert sizes == ["5", "15"]
    name = f"{starpilot_file.stem}-gradient-5-0"
    assert (out / "size-curve.png").exists() and (out / f"{name}.h5").exists()
    results = Results.load(out / name)
    assert results.names() == ["random-5", "distilled-5"]
    trained = sorted(path.stat().st_mtime_ns for path in out.rglob("*.safetensors"))
    again = run(*command, "--json")
    assert again.exit_code == 0 and json.loads(again.stdout) == json.loads(first.stdout)
    assert sorted(path.stat().st_mtime_ns for path in out.rglob("*.safetensors")) == trained


def test_soft_labels_are_swept_under_their_own_name(starpilot_file: Path, tmp_path: Path) -> None:
    options = ["--methods", "labels", "--sizes", "5,8", "--synthetic-steps", 2, "--out", tmp_path, *QUICK]
    result = run("sweep", starpilot_file, *options, "--jobs", 2, "--json")
    assert result.exit_code == 0, result.output
    returns, cost = json.loads(result.stdout)["tables"]
    assert [row[:4] for row in returns["rows"]] == [["starpilot", "labels", size, "0"] for size in ("5", "8")]
    first, second = (f"{starpilot_file.stem}-labels-{size}-0" for size in (5, 8))
    results = Results.load(tmp_path / first)
    assert results.names() == ["random-5", "soft-5"] and results.protocol["synthetic"]["n_steps"] == 2
    # one training of the teachers, which counts as time of both
    info = read_info(tmp_path / f"{second}.h5")
    assert info.provenance is not None
    assert info.provenance.settings["teachers_sha256"] == read_info(tmp_path / f"{first}.h5").content_sha256
    own = [json.loads((tmp_path / f"{name}.json").read_text())["seconds"] for name in (first, second)]
    seconds = cost["columns"].index("seconds to distil")
    assert [row[seconds] for row in cost["rows"]] == [f"{own[0]:.0f}", f"{sum(own):.0f}"]


def test_a_cell_that_fails_leaves_the_others(starpilot_file: Path, tmp_path: Path) -> None:
    result = run("sweep", starpilot_file, "--sizes", "5,1000000", "--out", tmp_path, *QUICK)
    assert result.exit_code == 1
    assert "1 of 2 cells failed" in result.stderr and "n_samples=1000000: expected 1 to" in result.stderr
    assert "| starpilot | gradient | 5 | 0 |" in result.stdout


@pytest.mark.parametrize(
    ("code", "message", "options"),
    [
        (2, "'magic': expected some of gradient,unrolled,labels", ["--methods", "magic"]),
        (2, "expected numbers of samples", ["--sizes", "5,many"]),
        (2, "expected numbers of samples", ["--sizes", "0"]),
        (1, "missing.h5 does not exist", ["missing.h5"]),
    ],
)
def test_bad_input(code: int, message: str, options: list[str], starpilot_file: Path) -> None:
    fails(code, message, "sweep", starpilot_file, *options)


def test_two_files_of_one_name_are_refused_and_a_dry_run_names_the_cells(starpilot_file: Path) -> None:
    fails(2, "the same file name", "sweep", starpilot_file, starpilot_file)
    result = run("sweep", starpilot_file, "--sizes", "5", "--seeds", 2, "--dry-run", "--json")
    stem = starpilot_file.stem
    assert json.loads(result.stdout)["cells"] == [f"{stem}-gradient-5-0", f"{stem}-gradient-5-1"]
