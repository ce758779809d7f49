"""Tables, verdicts and figures from results: of the paper's student, of other tasks, of several students."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from commands import fails, run
from d3rlpy_distill.errors import DistillError
from d3rlpy_distill.evaluation import ArmKind, Results
from d3rlpy_distill.report import Table, build_tables, games_table, render, save_figures
from d3rlpy_distill.report.verdicts import TOO_FEW, as_good, gain, random_arm, reference
from entries import ABOUT, constant, entry, of_student

MEANS = {"random-policy": 1.0, "bc-100": 10.0, "random-20": 8.0, "distilled-20": 9.51}
TEST = {"test": "test seeds"}
COMPARE = ["--compare", "distilled-20"]


def column(table: Table, name: str) -> dict[str, str]:
    """A column by the first cell of each row."""
    index = table.columns.index(name)
    return {row[0]: row[index] for row in table.rows}


def rows(text: str) -> list[list[str]]:
    """The rows of a table as CSV, its headings first."""
    return list(csv.reader(io.StringIO(text)))[1:]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{game}.json" for game in ("bigfish", "coinrun", "jumper")]
    for path, n_steps in zip(paths, (100, 100, 1000), strict=True):
        constant(MEANS, f"procgen/{path.stem}", small=(n_steps, 15)).save(path)
    return paths


def test_an_arm_stands_beside_its_baselines_in_every_game(files: list[Path]) -> None:
    result = run("report", *files[:2], *COMPARE, "--format", "csv")
    assert result.exit_code == 0, result.output
    _, *table = rows(result.stdout)
    assert [row[:2] for row in table] == [
        [game, levels] for game in ("bigfish", "coinrun") for levels in ("seen levels (ID)", "unseen levels (OOD)")
    ]
    assert all(row[2:6] == ["5 x 4", "8.00 ± 0.00 (random-20)", "10.00 ± 0.00", "9.51 ± 0.00"] for row in table)
    assert all(row[-1] == "yes" and row[-2] == "+1.51 [+1.51, +1.51]" for row in table)
    assert "small sets 100 x 15, actions sampled" in result.stdout.splitlines()[0]


def test_the_gain_is_over_the_better_of_natural_and_balanced_samples(files: list[Path]) -> None:
    constant({**MEANS, "balanced-20": 8.5, "random-soft-20": 9.0}, "procgen/bigfish").save(
        files[0], overwrite=True
    )
    constant({**MEANS, "balanced-20": 7.5}, "procgen/coinrun").save(files[1], overwrite=True)
    result = run("report", *files[:2], *COMPARE, "--format", "csv")
    assert result.exit_code == 0, result.output
    bigfish, coinrun = (line for line in result.stdout.splitlines() if "unseen" in line)
    assert "8.50 ± 0.00 (balanced-20)" in bigfish and "+1.01 [+1.01" in bigfish
    assert "8.00 ± 0.00 (random-20)" in coinrun and "+1.51 [+1.51" in coinrun
    table = run("report", files[0]).stdout
    assert "gain over balanced-20" in table and "gain over random-20" not in table


def test_the_better_baseline_is_that_of_each_split() -> None:
    higher = {"random-20": (1.0, 4.0), "balanced-20": (2.0, 3.0)}
    arms = [
        entry(name, ABOUT[name], np.full((5, 2), mean), split=split)
        for name, means in higher.items()
        for split, mean in zip(("id", "ood"), means, strict=True)
    ]
    results = Results("procgen/coinrun", {}, {}, {"id": "seen", "ood": "unseen"}, arms)
    chosen = [random_arm(results, split) for split in ("id", "ood")]
    assert [arm.name for arm in chosen if arm is not None] == ["balanced-20", "random-20"]


def test_converged_cloning_has_its_columns_where_a_game_has_it(files: list[Path]) -> None:
    constant({**MEANS, "bc-100-converged": 10.5}, "procgen/bigfish").save(files[0], overwrite=True)
    result = run("report", *files[:2], *COMPARE, "--format", "csv")
    assert result.exit_code == 0, result.output
    head, *table = rows(result.stdout)
    assert head[-1] == "as good as bc-100-converged"
    # 9.51 is within 5% of 10.0, not of 10.5
    assert [row[-2:] for row in table] == [["yes", "no"]] * 2 + [["yes", ""]] * 2
    assert all(row[5] == "10.50 ± 0.00" for row in table[:2])


def test_what_cannot_be_compared_is_refused(files: list[Path], tmp_path: Path) -> None:
    fails(1, "no arm 'soft-20': expected one of random-policy, bc-100", "report", files[0], "--compare", "soft-20")
    fails(1, "different budgets (small sets 100 x 15 and small sets 1000 x 15)", "report", *files, *COMPARE)
    (tmp_path / "sweep.json").write_text('{"cells": []}')
    fails(2, "--compare with the cells of a sweep", "report", tmp_path / "sweep.json", *COMPARE)
    whole = constant(MEANS)
    part = [arm for arm in whole.arms if (arm.name, arm.split) != ("distilled-20", "ood")]
    with pytest.raises(DistillError, match=r"coinrun has no returns of 'distilled-20' on unseen levels \(OOD\)"):
        games_table([Results(whole.task, whole.protocol, {}, whole.splits, part)], "distilled-20")


def test_as_good_as_full_cloning_allows_five_percent_and_no_more() -> None:
    table = build_tables(constant({"bc-100": 10.0, "random-20": 9.51, "distilled-20": 9.49}))[0]
    assert list(column(table, "as good as bc-100").values()) == ["", "yes", "no"]
    # of a negative mean, too
    table = build_tables(constant({"bc-100": -10.0, "random-20": -10.49, "distilled-20": -10.51}))[0]
    assert list(column(table, "as good as bc-100").values()) == ["", "yes", "no"]


def test_as_good_reads_the_interval_and_not_the_mean() -> None:
    full = entry("bc-100", ABOUT["bc-100"], np.full((5, 2), 10.0))
    same_mean = entry(
        "soft-20", ABOUT["soft-20"], [[4.0, 4.0], [7.0, 7.0], [10.0, 10.0], [13.0, 13.0], [16.0, 16.0]]
    )
    assert same_mean.mean == full.mean and as_good(same_mean, full) == "no"


def test_a_verdict_needs_five_students() -> None:
    for students, verdict in ((1, TOO_FEW), (4, TOO_FEW), (5, "yes"), (10, "yes")):
        table = build_tables(constant({**MEANS, "expert": 30.0}, students=students))[0]
        verdicts = column(table, "as good as bc-100")
        assert verdicts["distilled-20"] == verdict
        assert verdicts["bc-100"] == verdicts["random-policy"] == verdicts["expert"] == ""
        assert column(games_table([constant(MEANS, students=students)], "distilled-20"), "as good as bc-100") == {
            "coinrun": verdict
        }
    few = entry("bc-100", ABOUT["bc-100"], np.full((4, 2), 10.0))
    assert as_good(entry("soft-20", ABOUT["soft-20"], np.full((9, 2), 10.0)), few) == TOO_FEW


def test_one_student_has_a_gain_and_no_interval() -> None:
    table = build_tables(constant(MEANS, students=1))[0]
    gains = column(table, "gain over random-20 [95%]")
    assert gains["distilled-20"] == "+1.51" and gains["random-20"] == gains["random-policy"] == ""
    assert gain(entry("x", ABOUT["soft-20"], np.full((2, 1), 3.0)), None) == ""


PAPER = {**MEANS, "expert": 30.0, "bc-100-converged": 12.0}


@pytest.mark.parametrize("game", ["starpilot", "bigfish", "jumper"])
def test_results_of_the_papers_student_stand_as_its_tables(game: str) -> None:
    tables = build_tables(constant(PAPER, f"procgen/{game}", modes=("sampled", "greedy")))
    played = "5 students x 4 episodes, small sets 100 x 15, actions sampled unless marked greedy"
    assert [table.title for table in tables] == [
        f"Table 2: {game}, seen levels (ID), {played}",
        f"Table 3: {game}, unseen levels (OOD), {played}",
        f"Table 4: {game}, what a student is trained on",
        f"{game} as printed in arXiv 2407.20299 (another expert, other data; quoted, not measured)",
    ]
    assert tables[0].columns == (
        "arm", "return", "IQM [95%]", "normalised", "of converged BC", "gain over random-20 [95%]",
        "as good as bc-100", "greedy return",
    )  # fmt: skip
    assert tables[0].rows[3] == (
        "distilled-20", "9.51 ± 0.00", "9.51 [9.51, 9.51]", "0.000", "79%", "+1.51 [+1.51, +1.51]", "yes",
        "9.51 ± 0.00",
    )  # fmt: skip
    assert tables[2].rows == [(name, "20", "2.00", "1.0") for name in PAPER if ABOUT[name].student]
    assert [row[0] for row in tables[3].rows] == ["Table 2, returns ID", "Table 3, returns OOD", "Table 4, size"]


@pytest.mark.parametrize(("task", "student"), [("procgen/coinrun", "paper"), ("procgen/starpilot", "impala-s2d"),
                                               ("gym/starpilot", "paper")])  # fmt: skip
def test_other_results_bear_no_number_of_the_papers_tables(task: str, student: str, tmp_path: Path) -> None:
    about = {name: kind if kind.student is None else of_student(kind, student) for name, kind in ABOUT.items()}
    results = constant(MEANS, task, about=about)
    tables = build_tables(results)
    assert len(tables) == 3
    assert tables[0].title == (
        f"{results.title}, seen levels (ID), 5 students x 4 episodes, small sets 100 x 15, "
        "actions sampled unless marked greedy"
    )
    assert not any("Table" in table.title or "arXiv" in table.title for table in tables)
    drawn = save_figures([results], tmp_path)
    assert [path.name for path in drawn] == ["returns-id.png", "returns-ood.png"]


def test_a_split_that_the_paper_has_not_bears_no_number() -> None:
    splits = {"id": "seen levels (ID)", "validation": "validation levels (200-299)"}
    titles = [table.title for table in build_tables(constant(MEANS, "procgen/starpilot", splits=splits))]
    assert titles[0].startswith("Table 2: ") and titles[1].startswith("starpilot, validation levels (200-299), ")


def test_a_task_of_one_split_and_continuous_actions_has_its_table(tmp_path: Path) -> None:
    """No normalised score, no expert, no converged cloning, greedy actions only."""
    about = {
        "bc-100": ArmKind("full", student="mlp"),
        "random-20": ArmKind("random", 20, student="mlp"),
        "distilled-20": ArmKind("distilled", 20, student="mlp"),
    }
    means = {"bc-100": -10.0, "random-20": -30.0, "distilled-20": -12.0}
    results = constant(means, "gym/Pendulum-v1", about=about, splits=TEST, modes=("greedy",), normalised=None)
    returns, data = build_tables(results)
    assert returns.title == "Pendulum-v1, test seeds, 5 students x 4 episodes, small sets 100 x 15, greedy actions"
    assert "normalised" not in returns.columns and "greedy return" not in returns.columns
    assert column(returns, "return") == {name: f"{mean:.2f} ± 0.00" for name, mean in means.items()}
    assert column(returns, "as good as bc-100")["distilled-20"] == "no"
    assert column(returns, "gain over random-20 [95%]")["distilled-20"].startswith("+18.00")
    assert set(column(returns, "of converged BC").values()) == {""}
    assert data.title == "Pendulum-v1, what a student is trained on" and len(data.rows) == 3
    compared = games_table([results, constant(MEANS, normalised=None)], "distilled-20")
    assert compared.title.endswith("actions sampled, greedy where they are continuous")
    assert compared.rows[0][:2] == ("Pendulum-v1", "test seeds") and len(compared.rows) == 3
    assert games_table([results], "distilled-20").title.endswith("greedy actions")
    assert [path.name for path in save_figures([results], tmp_path)] == ["returns-test.png"]


def test_policies_alone_make_a_table() -> None:
    table = build_tables(constant({"random-policy": 1.0, "expert": 2.0}, splits=TEST))[0]
    assert table.columns[-3:] == ("gain", "as good as all data", "greedy return")
    assert [row[0] for row in table.rows] == ["random-policy", "expert"]


def test_what_an_arm_is_does_not_hang_on_its_name() -> None:
    """Names are labels: the same fields under other names give the same numbers."""
    swapped = {"bc-100": "random-20", "random-20": "init-7", "distilled-20": "bc-100", "random-policy": "expert"}
    about = {swapped[name]: ABOUT[name] for name in swapped}
    plain = build_tables(constant(MEANS))[0]
    other = build_tables(constant({swapped[name]: mean for name, mean in MEANS.items()}, about=about))[0]
    assert [row[1:] for row in other.rows] == [row[1:] for row in plain.rows]
    assert [row[0] for row in other.rows] == [swapped[row[0]] for row in plain.rows]
    assert other.columns[5:7] == ("gain over init-7 [95%]", "as good as random-20")


STUDENTS = {
    f"{student}-{name}": ArmKind(kind, size, student=student)
    for student in ("bc", "cql", "dqn")
    for name, kind, size in (
        ("full", "full", None),
        ("random-20", "random", 20),
        ("distilled-20", "distilled", 20),
    )
}
SEVERAL = {"random-policy": ArmKind("random-policy"), **STUDENTS}


def test_several_students_make_a_table_student_by_dataset() -> None:
    means = {"random-policy": 1.0, **{name: float(i) for i, name in enumerate(STUDENTS)}}
    first, second = build_tables(constant(means, "procgen/starpilot", about=SEVERAL, modes=("sampled", "greedy")))
    assert first.title == (
        "Algorithms: starpilot, seen levels (ID), 5 students x 4 episodes, real data 1000 x 256, small sets 100 x 15, "
        "actions sampled (best action for cql and dqn)"
    )
    assert "unseen levels (OOD)" in second.title and second.rows == first.rows
    assert first.columns == ("algorithm", "full", "random-20", "distilled-20")
    assert first.rows == [
        ("random-policy", "1.00 ± 0.00", "", ""),
        ("bc", "0.00 ± 0.00", "1.00 ± 0.00", "2.00 ± 0.00"),
        ("cql", "3.00 ± 0.00", "4.00 ± 0.00", "5.00 ± 0.00"),
        ("dqn", "6.00 ± 0.00", "7.00 ± 0.00", "8.00 ± 0.00"),
    ]


def test_several_students_are_compared_each_with_its_own_baselines() -> None:
    """The arm of a student stands beside random samples and all data of that student, not of another."""
    means = dict.fromkeys(STUDENTS, 100.0) | {"cql-full": 10.0, "cql-random-20": 8.0, "cql-distilled-20": 9.51}
    results = constant(means, about=SEVERAL)
    (row, _) = games_table([results], "cql-distilled-20").rows
    assert row[3:] == ("8.00 ± 0.00 (cql-random-20)", "10.00 ± 0.00", "9.51 ± 0.00", "+1.51 [+1.51, +1.51]", "yes")
    full = reference(results, "full", "id", "cql")
    assert full is not None and full.name == "cql-full" and reference(results, "converged", "id", "cql") is None


def test_a_dataset_that_a_student_cannot_learn_from_is_an_empty_cell() -> None:
    about = {**SEVERAL, "bc-soft-20": ArmKind("distilled", 20, "soft", "bc")}
    table = build_tables(constant({"bc-full": 1.0, "bc-soft-20": 2.0, "cql-full": 3.0}, about=about))[0]
    assert table.columns == ("algorithm", "full", "soft-20") and table.rows[1] == ("cql", "3.00 ± 0.00", "")


def test_students_of_different_budgets_have_them_in_columns() -> None:
    results = constant({"bc-full": 1.0, "cql-full": 3.0}, "gym/CartPole-v1", about=SEVERAL, splits=TEST)
    results.protocol["budgets"]["cql"] = {"full": {"n_steps": 3, "batch_size": 4}}  # type: ignore[index]
    (table,) = build_tables(results)
    assert table.title == (
        "Algorithms: CartPole-v1, test seeds, 5 students x 4 episodes, actions sampled (best action for cql)"
    )
    assert table.columns[2:] == ("real data, steps x batch", "small sets, steps x batch")
    assert [row[2:] for row in table.rows] == [("1000 x 256", "100 x 15"), ("3 x 4", "")]


def test_tables_are_rendered_in_every_format() -> None:
    tables = build_tables(constant(PAPER, "procgen/starpilot", modes=("sampled", "greedy")))
    for table in tables:
        assert all(len(row) == len(table.columns) for row in table.rows)
    assert "| distilled-20 | 9.51 ± 0.00 | 9.51 [9.51, 9.51] |" in render(tables, "md")
    assert r"distilled-20 & 9.51 $\pm$ 0.00" in render(tables, "latex") and r"79\%" in render(tables, "latex")
    assert 'distilled-20,9.51 ± 0.00,"9.51 [9.51, 9.51]"' in render(tables, "csv")
    value = json.loads(render(tables, "json"))["tables"]
    assert [table["title"] for table in value] == [table.title for table in tables]
    assert [tuple(row) for row in value[0]["rows"]] == list(tables[0].rows)
    with pytest.raises(ValueError, match="expected one of md"):
        render(tables, "html")


def test_the_papers_figures_are_drawn(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "figures"
    result = run("report", files[0], files[2], "--figures", out)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == ["figure-3-id.png", "figure-4-ood.png"]
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in out.iterdir())
    assert f"drew {out / 'figure-3-id.png'}" in result.stderr
    mixed = save_figures(
        [constant(PAPER, "procgen/starpilot"), constant(MEANS, "gym/X", splits=TEST)], tmp_path / "b"
    )
    assert [path.name for path in mixed] == ["figure-3-id.png", "figure-4-ood.png", "returns-test.png"]
    with_another = save_figures([constant(PAPER, "procgen/starpilot"), constant(MEANS)], tmp_path / "c")
    assert [path.name for path in with_another] == ["returns-id.png", "returns-ood.png"]
