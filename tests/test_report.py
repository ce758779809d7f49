"""Tables, verdicts and figures from results: of the paper's student, of other tasks, of several students."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest

from commands import fails, run
from d3rlpy_distill.errors import DistillError
from d3rlpy_distill.evaluation import ArmKind, Results
from d3rlpy_distill.report import (
    FORMATS,
    Report,
    Table,
    build_tables,
    games_table,
    render,
    save_figures,
    write_report,
)
from d3rlpy_distill.report.algorithms import algorithm_tables
from d3rlpy_distill.report.intervals import mean_interval
from d3rlpy_distill.report.returns import returns_figure
from d3rlpy_distill.report.training import read_training
from d3rlpy_distill.report.verdicts import TOO_FEW, as_good, gain, random_arm, reference
from d3rlpy_distill.sweeping.cell import SweepCell, save_sweep
from entries import ABOUT, constant, entry, of_student

MEANS = {"random-policy": 1.0, "bc-100": 10.0, "random-20": 8.0, "distilled-20": 9.51}
TEST = {"test": "test seeds"}
COMPARE = ["--compare", "distilled-20"]


def column(table: Table, name: str) -> dict[str, str]:
    """A column by the first cell of each row."""
    index = table.columns.index(name)
    return {row[0]: row[index] for row in table.rows}


def rows(text: str) -> list[list[str]]:
    """The rows of a Markdown table, its headings first."""
    lines = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [lines[0], *lines[2:]]


def tidy(text: str) -> list[dict[str, str]]:
    """The rows of a CSV by their headings."""
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{game}.json" for game in ("bigfish", "coinrun", "jumper")]
    for path, n_steps in zip(paths, (100, 100, 1000), strict=True):
        constant(MEANS, f"procgen/{path.stem}", small=(n_steps, 15)).save(path)
    return paths


def test_an_arm_stands_beside_its_baselines_in_every_game(files: list[Path]) -> None:
    result = run("report", *files[:2], *COMPARE)
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
    result = run("report", *files[:2], *COMPARE)
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
    result = run("report", *files[:2], *COMPARE)
    assert result.exit_code == 0, result.output
    head, *table = rows(result.stdout)
    assert head[-1] == "as good as bc-100-converged"
    # 9.51 is within 5% of 10.0, not of 10.5
    assert [row[-2:] for row in table] == [["yes", "no"]] * 2 + [["yes", ""]] * 2
    assert all(row[5] == "10.50 ± 0.00" for row in table[:2])


def test_what_cannot_be_compared_is_refused(files: list[Path], tmp_path: Path) -> None:
    fails(1, "no arm 'soft-20': expected one of random-policy, bc-100", "report", files[0], "--compare", "soft-20")
    fails(
        1,
        "different budgets (real data 1000 x 256, small sets 100 x 15 and real data 1000 x 256, ",
        "report",
        *files,
        *COMPARE,
    )
    save_sweep([SweepCell("gradient", 20, 0, 1.0, constant(MEANS))], tmp_path / "sweep.json")
    fails(2, "--compare with the cells of a sweep", "report", tmp_path / "sweep.json", *COMPARE)
    whole = constant(MEANS)
    part = [arm for arm in whole.arms if (arm.name, arm.split) != ("distilled-20", "ood")]
    with pytest.raises(DistillError, match=r"coinrun has no returns of 'distilled-20' on unseen levels \(OOD\)"):
        games_table([Results(whole.task, whole.protocol, {}, whole.splits, part)], "distilled-20")


def test_ensembles_of_several_students_share_a_column() -> None:
    about = {
        name: ArmKind(kind, student=student, of=of)
        for student in ("dt", "cql")
        for name, kind, of in (
            (f"{student}-full", "full", None),
            (f"ensemble-of-{student}-full", "ensemble", f"{student}-full"),
        )
    }
    table = algorithm_tables(constant(dict.fromkeys(about, 5.0), about=about))[0]
    assert table.columns[:3] == ("algorithm", "full", "ensemble-of-full")
    assert [row[0] for row in table.rows] == ["dt", "cql"] and all(all(row[1:3]) for row in table.rows)


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


PLAYED = (
    "5 paper students x 4 episodes, real data 1000 x 256, small sets 100 x 15 (steps x batch), "
    "actions sampled unless marked greedy"
)


@pytest.mark.parametrize("game", ["starpilot", "bigfish", "jumper"])
def test_titles_say_what_a_table_shows(game: str) -> None:
    results = constant(PAPER, f"procgen/{game}", modes=("sampled", "greedy"))
    tables = build_tables(results)
    assert [table.title for table in tables] == [
        f"{game}, seen levels (ID), {PLAYED}",
        f"{game}, unseen levels (OOD), {PLAYED}",
        f"{game}, what a student is trained on",
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
    assert all(set(table.least) <= set(table.columns) | {"normalised", "greedy return"} for table in tables)


@pytest.mark.parametrize("game", ["starpilot", "bigfish", "jumper"])
def test_the_papers_figures_stand_there_when_they_are_asked_for(game: str, tmp_path: Path) -> None:
    results = constant(PAPER, f"procgen/{game}")
    plain, with_paper = build_tables(results), build_tables(results, paper=True)
    assert with_paper[:-1] == plain and not any("arXiv" in table.title for table in plain)
    printed = with_paper[-1]
    assert printed.title.startswith(f"The paper's own figures for {game}, as arXiv 2407.20299 prints them")
    assert [row[0] for row in printed.rows] == [
        "returns ID, its Table 2",
        "returns OOD, its Table 3",
        "size, its Table 4",
    ]
    results.save(tmp_path / "a.json")
    assert "The paper's own" not in run("report", tmp_path / "a.json").stdout
    assert "The paper's own" in run("report", tmp_path / "a.json", "--paper").stdout


@pytest.mark.parametrize(("task", "student"), [("procgen/coinrun", "paper"), ("procgen/starpilot", "impala-s2d"),
                                               ("gym/starpilot", "paper")])  # fmt: skip
def test_the_papers_figures_stand_beside_no_other_results(task: str, student: str, tmp_path: Path) -> None:
    about = {name: kind if kind.student is None else of_student(kind, student) for name, kind in ABOUT.items()}
    results = constant(MEANS, task, about=about)
    tables = build_tables(results, paper=True)
    assert len(tables) == 3 and not any("arXiv" in table.title for table in tables)
    assert tables[0].title == f"{results.title}, seen levels (ID), {PLAYED}".replace("paper", student)
    results.save(tmp_path / "a.json")
    fails(2, "--paper without results of its student", "report", tmp_path / "a.json", "--paper")


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
    assert returns.title == (
        "Pendulum-v1, test seeds, 5 mlp students x 4 episodes, real data 1000 x 256, small sets 100 x 15 "
        "(steps x batch), greedy actions"
    )
    assert "normalised" not in returns.columns and "greedy return" not in returns.columns
    assert column(returns, "return") == {name: f"{mean:.2f} ± 0.00" for name, mean in means.items()}
    assert column(returns, "as good as bc-100")["distilled-20"] == "no"
    assert column(returns, "gain over random-20 [95%]")["distilled-20"].startswith("+18.00")
    assert set(column(returns, "of converged BC").values()) == {""}
    assert data.title == "Pendulum-v1, what a student is trained on" and len(data.rows) == 3
    compared = games_table([results, constant(MEANS, normalised=None)], "distilled-20")
    assert compared.title.endswith("actions sampled, greedy where they are continuous")
    assert compared.columns[:3] == ("task", "split", "student")
    assert compared.rows[0][:3] == ("Pendulum-v1", "test seeds", "mlp") and len(compared.rows) == 3
    assert games_table([results], "distilled-20").title.endswith("greedy actions")
    assert [path.name for path in save_figures([results], tmp_path)] == ["returns-test.png"]


def test_policies_alone_make_a_table() -> None:
    table = build_tables(constant({"random-policy": 1.0, "expert": 2.0}, splits=TEST))[0]
    assert table.title == "coinrun, test seeds, 4 episodes, actions sampled unless marked greedy"
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
    first, second, gains = build_tables(
        constant(means, "procgen/starpilot", about=SEVERAL, modes=("sampled", "greedy"))
    )
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
    assert "gain over as many random samples with labels of the same kind" in gains.title
    assert gains.columns == (
        "algorithm", "distilled-20, seen levels (ID)", "distilled-20, unseen levels (OOD)",
    )  # fmt: skip
    assert gains.rows == [(student, *["+1.00 [+1.00, +1.00]"] * 2) for student in ("bc", "cql", "dqn")]


def test_what_students_gain_is_over_labels_of_the_same_teachers() -> None:
    about = {
        "bc-random-20": ArmKind("random", 20, student="bc"),
        "bc-random-soft-20": ArmKind("random", 20, "soft", "bc", of="soft-20"),
        "bc-soft-20": ArmKind("distilled", 20, "soft", "bc"),
        "cql-full": ArmKind("full", student="cql"),
    }
    means = {"bc-random-20": 1.0, "bc-random-soft-20": 4.0, "bc-soft-20": 6.0, "cql-full": 3.0}
    gains = build_tables(constant(means, about=about))[-1]
    assert gains.rows == [("bc", *["+2.00 [+2.00, +2.00]"] * 2), ("cql", "", "")]


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


def some(modes: tuple[str, ...] = ("sampled", "greedy")) -> Results:
    """Students that differ, so that no two numbers of a row are the same."""
    rng = np.random.default_rng(0)
    arms = [
        entry(
            name,
            ABOUT[name],
            rng.normal(10, 3, (1 if ABOUT[name].student is None else 6, 7)),
            split=split,
            mode=mode,
        )
        for name in ("random-policy", "bc-100", "random-20", "distilled-20")
        for split in ("id", "ood")
        for mode in modes
    ]
    about = {"command": "rld-distill evaluate a b"}
    return Results("procgen/coinrun", {"seed": 0}, about, {"id": "seen", "ood": "unseen"}, arms)


def test_a_csv_has_a_row_for_each_arm_split_and_mode() -> None:
    results = some()
    found = tidy(write_report(Report([results]), "csv"))
    assert len(found) == len(results.arms) == 16
    assert all(re.fullmatch(r"[a-z][a-z_]*", name) for name in found[0])
    for row, arm in zip(found, results.arms, strict=True):
        assert (row["task"], row["arm"], row["split"], row["mode"]) == (
            "procgen/coinrun", arm.name, arm.split, arm.mode,
        )  # fmt: skip
        assert row["student"] == (arm.about.student or "") and row["kind"] == arm.about.kind
        assert (float(row["mean"]), float(row["std"]), float(row["iqm"])) == (arm.mean, arm.std, arm.iqm)
        assert (float(row["iqm_low"]), float(row["iqm_high"])) == arm.ci95
        assert (float(row["mean_low"]), float(row["mean_high"])) == mean_interval(arm)
        assert int(row["students"]) == arm.n_students and int(row["episodes"]) == arm.n_episodes
        assert row["samples"] == ("20" if arm.about.student else "")
        compared = arm.mode == "sampled" and arm.name in ("bc-100", "distilled-20")
        assert (row["gain_over"] == "random-20") == compared == bool(row["gain"])
        if compared:
            random = results.main("random-20", arm.split)
            assert random is not None and float(row["gain"]) == pytest.approx(arm.mean - random.mean)
            assert float(row["gain_low"]) < float(row["gain"]) < float(row["gain_high"])


def test_the_interval_of_a_mean_is_that_of_students_drawn_anew() -> None:
    returns = np.random.default_rng(1).normal(5, 2, (8, 3))
    low, high = mean_interval(entry("bc-100", ABOUT["bc-100"], returns))
    scores, rng = returns.mean(1), np.random.default_rng(7)
    drawn = [rng.choice(scores, 8).mean() for _ in range(20_000)]
    assert (low, high) == pytest.approx(np.quantile(drawn, (0.025, 0.975)), abs=0.05)


def test_a_csv_of_a_comparison_has_the_arm_and_its_baselines(files: list[Path]) -> None:
    result = run("report", *files[:2], *COMPARE, "--format", "csv")
    assert result.exit_code == 0, result.output
    found = tidy(result.stdout)
    assert {row["task"] for row in found} == {"procgen/bigfish", "procgen/coinrun"}
    assert {row["arm"] for row in found} == {"bc-100", "random-20", "distilled-20"} and len(found) == 12
    assert [row["as_good_as_all_data"] for row in found if row["arm"] == "distilled-20"] == ["yes"] * 4


def test_json_has_the_same_records_and_what_they_are_of() -> None:
    report = Report([some(), constant(MEANS)])
    value, table = json.loads(write_report(report, "json")), tidy(write_report(report, "csv"))
    assert set(value) == {"records", "metadata"} and len(value["records"]) == len(table) == 24
    for record, row in zip(value["records"], table, strict=True):
        assert {name: "" if one is None else str(one) for name, one in record.items()} == row
    assert value["metadata"][0] == {
        "task": "procgen/coinrun",
        "splits": {"id": "seen", "ood": "unseen"},
        "protocol": {"seed": 0},
        "provenance": {"command": "rld-distill evaluate a b"},
    }


def test_markdown_and_latex_have_every_cell() -> None:
    report = Report([constant(PAPER, "procgen/starpilot", modes=("sampled", "greedy"))])
    for table in report.tables:
        assert all(len(row) == len(table.columns) for row in table.rows)
    assert "| distilled-20 | 9.51 ± 0.00 | 9.51 [9.51, 9.51] |" in write_report(report, "md")
    assert write_report(report, "md") == render(report.tables)
    latex = write_report(report, "latex")
    assert r"distilled-20 & 9.51 $\pm$ 0.00" in latex and r"79\%" in latex and "booktabs" in latex
    for rule in ("toprule", "midrule", "bottomrule"):
        assert latex.count(rf"\{rule}") == len(report.tables)
    assert "hline" not in latex


def test_what_is_special_to_latex_is_escaped() -> None:
    name = r"a_b&c%d$e#f{g}h~i^j\k<l>"
    about = {name: ABOUT["distilled-20"]}
    latex = write_report(Report([constant({name: 1.0}, about=about)]), "latex")
    assert (
        r"a\_b\&c\%d\$e\#f\{g\}h\textasciitilde{}i\textasciicircum{}j\textbackslash{}k\textless{}l\textgreater{} & "
        in latex
    )


def test_formats_are_found_by_name(tmp_path: Path) -> None:
    from rld_distill.commands import report as command

    built_in = {entry.name for entry in FORMATS.entries() if isinstance(entry.target, str)}
    assert set(command.FORMATS) == {"auto", *built_in} and set(command.SUFFIXES.values()) == built_in
    with pytest.raises(ValueError, match="unknown format 'htm': did you mean 'html'"):
        write_report(Report(), "htm")
    constant(MEANS).save(tmp_path / "a.json")
    for suffix, how in command.SUFFIXES.items():
        out = tmp_path / f"out{suffix}"
        result = run("report", tmp_path / "a.json", "--out", out)
        assert result.exit_code == 0 and result.stdout == "" and f"wrote {out}" in result.stderr
        assert out.read_text() == run("report", tmp_path / "a.json", "--format", how).stdout
    fails(1, "exists already", "report", tmp_path / "a.json", "--out", tmp_path / "out.csv")
    again = run("report", tmp_path / "a.json", "--out", tmp_path / "out.csv", "--overwrite")
    assert again.exit_code == 0
    fails(2, "expected a name that ends in .md", "report", tmp_path / "a.json", "--out", tmp_path / "out.xls")
    fails(2, "unknown format 'htm': did you mean 'html'", "report", tmp_path / "a.json", "--format", "htm")
    fails(2, "for --format html", "report", tmp_path / "a.json", "--film", tmp_path / "a.gif")
    fails(2, "--wide is for tables in a terminal", "report", tmp_path / "a.json", "--wide", "--format", "md")


def test_a_format_of_a_plug_in_is_written(tmp_path: Path) -> None:
    constant(MEANS).save(tmp_path / "a.json")
    (tmp_path / "p.py").write_text(
        "from d3rlpy_distill import register_format\n\n"
        "@register_format('names')\ndef names(report):\n    return ' '.join(report.evaluations[0].names())\n"
    )
    asked = ["report", tmp_path / "a.json", "--plugin", tmp_path / "p.py"]
    assert run(*asked, "--format", "names").stdout == " ".join(MEANS) + "\n"
    assert run(*asked, "--out", tmp_path / "out.names").exit_code == 0
    assert (tmp_path / "out.names").read_text() == " ".join(MEANS) + "\n"


def test_returns_are_drawn(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "figures"
    result = run("report", files[0], files[2], "--figures", out)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == ["returns-id.png", "returns-ood.png"]
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in out.iterdir())
    assert f"drew {out / 'returns-id.png'}" in result.stderr
    mixed = save_figures(
        [constant(PAPER, "procgen/starpilot"), constant(MEANS, "gym/X", splits=TEST)], tmp_path / "b"
    )
    assert [path.name for path in mixed] == ["returns-id.png", "returns-ood.png", "returns-test.png"]


def test_bars_are_labelled_by_their_own_arm_and_no_label_overlaps() -> None:
    """Twelve arms with long names, hostile to the drawing of formulae; each bar is as long as its mean."""
    means = {f"distilled-with-a-long-name-{i}-$x_{{$": float(i) for i in range(11)} | {"bc-100": 11.0}
    about = {name: ABOUT.get(name, ABOUT["distilled-20"]) for name in means}
    figure = returns_figure([(constant(means, about=about), "id"), (constant(MEANS), "id")])
    figure.draw_without_rendering()  # lays it out
    axis = figure.axes[0]
    labels = list(axis.get_yticklabels())
    assert [label.get_text() for label in labels] == list(means)
    assert [bar.get_width() for bar in axis.patches] == list(means.values())
    boxes = sorted((label.get_window_extent().y0, label.get_window_extent().y1) for label in labels)
    assert all(above[0] >= below[1] for below, above in itertools.pairwise(boxes))
    assert min(label.get_window_extent().x0 for label in labels) >= 0
    keys = {text.get_text(): handle for text, handle in zip(figure.legends[0].get_texts(),
                                                            figure.legends[0].legend_handles, strict=True)}  # fmt: skip
    assert set(keys) == {"distilled", "real data", "random policy", "few real samples", "one student"}
    assert keys["distilled"].get_facecolor()[:3] == axis.patches[0].get_facecolor()[:3]
    assert keys["real data"].get_facecolor()[:3] == axis.patches[-1].get_facecolor()[:3]


def test_an_expert_far_above_stands_in_the_title() -> None:
    far, near = (returns_figure([(constant({**MEANS, "expert": mean}), "id")]).axes[0] for mean in (31.0, 20.0))
    assert "(expert: 31.0)" in far.get_title() and len(far.patches) == len(MEANS)
    assert "expert" not in near.get_title() and len(near.patches) == len(MEANS) + 1


def test_a_learning_curve_is_read(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    path.write_text("steps,train_return,validation_return\n10,,\n20,1.5,\n30,2.5,2\n")
    assert read_training(path).returns == {
        "training levels": [(20.0, 1.5), (30.0, 2.5)],
        "validation levels": [(30.0, 2.0)],
    }
    for text in ("a,b\n1,2\n", "steps,train_return\nx,1\n", "steps,train_return\n", ""):
        path.write_text(text)
        with pytest.raises(DistillError, match="train-expert"):
            read_training(path)
