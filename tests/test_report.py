"""One arm over several games."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from commands import fails, run
from d3rlpy_distill.evaluation import Results
from d3rlpy_distill.evaluation.results import ArmResult

MEANS = {"random-policy": 1.0, "bc-100": 10.0, "random-20": 8.0, "distilled-20": 9.51}


def results(game: str, n_steps: int, means: dict[str, float] = MEANS) -> Results:
    arms = [
        ArmResult.from_returns(
            name, split, "sampled", np.full((1 if name == "random-policy" else 3, 4), mean), normalised=0.0,
            samples=20, n_bytes=1, train_seconds=1.0, seed=0,
        )
        for name, mean in means.items()
        for split in ("id", "ood")
    ]  # fmt: skip
    return Results(game, {"synthetic": {"n_steps": n_steps, "batch_size": 15}}, {}, arms)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{game}.json" for game in ("bigfish", "coinrun", "jumper")]
    for path, n_steps in zip(paths, (100, 100, 1000), strict=True):
        results(path.stem, n_steps).save(path)
    return paths


def test_an_arm_stands_beside_its_baselines_in_every_game(files: list[Path]) -> None:
    result = run("report", *files[:2], "--compare", "distilled-20", "--format", "csv")
    assert result.exit_code == 0, result.output
    rows = [line.split(",") for line in result.stdout.strip().splitlines() if line[:7] in ("bigfish", "coinrun")]
    assert [row[:2] for row in rows] == [
        [game, levels] for game in ("bigfish", "coinrun") for levels in ("seen levels (ID)", "unseen levels (OOD)")
    ]
    assert all(row[2:6] == ["3 x 4", "8.00 ± 0.00 (random-20)", "10.00 ± 0.00", "9.51 ± 0.00"] for row in rows)
    assert all(row[-1] == "yes" and "+1.51 [+1.51" in ",".join(row) for row in rows)


def test_the_gain_is_over_the_better_of_natural_and_balanced_samples(files: list[Path]) -> None:
    results("bigfish", 100, {**MEANS, "balanced-20": 8.5, "random-soft-20": 9.0}).save(files[0])
    results("coinrun", 100, {**MEANS, "balanced-20": 7.5}).save(files[1])
    result = run("report", *files[:2], "--compare", "distilled-20", "--format", "csv")
    assert result.exit_code == 0, result.output
    bigfish, coinrun = (line for line in result.stdout.splitlines() if "unseen" in line)
    assert "8.50 ± 0.00 (balanced-20)" in bigfish and "+1.01 [+1.01" in bigfish
    assert "8.00 ± 0.00 (random-20)" in coinrun and "+1.51 [+1.51" in coinrun
    table = run("report", files[0]).stdout
    assert "gain over balanced-20" in table and "gain over random-20" not in table


def test_converged_cloning_has_its_columns_where_a_game_has_it(files: list[Path]) -> None:
    results("bigfish", 100, {**MEANS, "bc-100-converged": 10.5}).save(files[0])
    result = run("report", *files[:2], "--compare", "distilled-20", "--format", "csv")
    assert result.exit_code == 0, result.output
    _, head, *rows = result.stdout.strip().splitlines()
    assert head.split(",")[-1] == "as good as bc-100-converged"
    # 9.51 is within 5% of 10.0, not of 10.5
    assert [row.split(",")[-2:] for row in rows] == [["yes", "no"]] * 2 + [["yes", ""]] * 2
    assert all(row.split(",")[5] == "10.50 ± 0.00" for row in rows[:2])


def test_what_cannot_be_compared_is_refused(files: list[Path], tmp_path: Path) -> None:
    compare = ["--compare", "distilled-20"]
    fails(1, "no arm 'soft-20': expected one of random-policy, bc-100", "report", files[0], "--compare", "soft-20")
    fails(1, "different budgets (small sets 100 x 15 and small sets 1000 x 15)", "report", *files, *compare)
    (tmp_path / "sweep.json").write_text('{"cells": []}')
    fails(2, "--compare with the cells of a sweep", "report", tmp_path / "sweep.json", *compare)
