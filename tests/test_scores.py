"""Scores against closed forms and brute force: DD-Ranking's, what frames are worth, when distilling pays."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from commands import run
from d3rlpy_distill.evaluation import ArmKind
from d3rlpy_distill.evaluation.scores import (
    augmentation_robust,
    break_even,
    frames_worth,
    isotonic,
    label_robust,
    on_scale,
    robust_score,
    standing,
)
from d3rlpy_distill.report import Report, games_table, write_report
from d3rlpy_distill.report.arm_sizes import arm_sizes_figure, has_sizes
from d3rlpy_distill.report.records import build_records
from d3rlpy_distill.report.scores import SCORES, random_alike, worth
from entries import ABOUT, constant

T = "a" * 64
SOFT = {
    **ABOUT,
    "random-soft-20": ArmKind("random", 20, "soft", "paper", of="soft-20", teachers=T),
    "random-soft-80": ArmKind("random", 80, "soft", "paper", of="soft-20", teachers=T),
    "random-soft-320": ArmKind("random", 320, "soft", "paper", of="soft-20", teachers=T),
    "random-other-20": ArmKind("random", 20, "soft", "paper", of="other-20", teachers="b" * 64),
    "soft-20": ArmKind("distilled", 20, "soft", "paper", teachers=T),
    "actions-of-soft-20": ArmKind("distilled-actions", 20, student="paper", of="soft-20"),
}
MEANS = {
    "random-policy": 2.0, "expert": 12.0, "bc-100": 10.0, "random-20": 3.0, "random-soft-20": 4.0,
    "random-soft-80": 6.0, "random-soft-320": 8.0, "random-other-20": 11.0, "soft-20": 7.0, "actions-of-soft-20": 5.0,
}  # fmt: skip


def students(mean: float, n: int = 5) -> np.ndarray:
    """Returns of students who all return the same."""
    return np.full((n, 4), mean)


def robust(improvement: float, recovery: float) -> str:
    """A cell whose students all return the same."""
    told = f"{label_robust(improvement, recovery):.1f}"
    return f"{told} [{told}, {told}]"


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_scale_has_the_random_policy_at_0_and_the_expert_at_1() -> None:
    assert on_scale(2.0, 2.0, 12.0) == 0 and on_scale(12.0, 2.0, 12.0) == 1
    assert on_scale(1.0, 2.0, 12.0) == pytest.approx(-0.1)  # not clipped
    np.testing.assert_allclose(on_scale(np.array([7.0, 22.0]), 2.0, 12.0), [0.5, 2.0])
    with pytest.raises(ValueError, match=r"the expert returns 2\.0, the random policy 2\.0"):
        on_scale(3.0, 2.0, 2.0)


def test_the_robust_scores_are_those_of_dd_ranking() -> None:
    for alpha, percent in ((-1.0, 0.0), (1.0, 100.0), (0.0, 100 / (math.e + 1))):
        assert robust_score(alpha) == pytest.approx(percent)
    # alpha = 0.5 * 0.3 - 0.5 * 0.1 = 0.1
    assert label_robust(0.3, 0.1) == pytest.approx(100 * (math.exp(0.1) - math.exp(-1)) / (math.e - math.exp(-1)))
    assert label_robust(0.3, 0.1, weight=1.0) == robust_score(0.3)
    assert label_robust(0.3, 0.1, weight=0.0) == robust_score(-0.1)
    assert augmentation_robust(0.3, 0.1) == pytest.approx(robust_score(0.2))
    assert augmentation_robust(0.3, 0.1, weight=0.0) == robust_score(0.1)


def test_a_standing_by_hand() -> None:
    found = standing(students(7), students(4), students(5), students(10), floor=2.0, ceiling=12.0, rng=rng())
    for score, value in ((found.recovery, 0.5), (found.improvement, 0.3), (found.robust, label_robust(0.3, 0.5))):
        assert score is not None
        assert (score.value, score.low, score.high) == pytest.approx((value, value, value))
    partial = standing(students(7), None, students(5), students(10), floor=2.0, ceiling=12.0, rng=rng())
    assert partial.improvement is None and partial.robust is None and partial.recovery == found.recovery
    nothing = standing(students(7), students(4), None, None, floor=2.0, ceiling=12.0, rng=rng())
    assert nothing.recovery is None and nothing.robust is None and nothing.improvement == found.improvement


def test_intervals_are_those_of_students_drawn_anew() -> None:
    a, b = np.arange(8.0)[:, None] * np.ones(3), np.arange(5.0)[:, None] * np.ones(3)
    found = standing(a, b, None, None, floor=0.0, ceiling=2.0, rng=rng()).improvement
    assert found is not None and found.value == pytest.approx((3.5 - 2.0) / 2)
    draws = np.random.default_rng(1)
    brute = [
        (draws.choice(np.arange(8.0), 8).mean() - draws.choice(np.arange(5.0), 5).mean()) / 2
        for _ in range(10_000)
    ]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(brute, (0.025, 0.975))), abs=0.04)


def test_a_set_with_actions_is_drawn_once() -> None:
    """Its two differences rest on the same students: alpha = (2 set - random - all) / 2."""
    values = np.array([0.0, 0.0, 0.0, 4.0])
    own = values[:, None] * np.ones(3)
    found = standing(own, students(0.0), own, students(4.0), floor=0.0, ceiling=4.0, rng=rng()).robust
    draws = np.random.default_rng(1)
    alphas = np.array([(2 * draws.choice(values, 4).mean() - 4) / 8 for _ in range(10_000)])
    low, high = np.quantile(robust_score(alphas), (0.025, 0.975))
    assert found is not None and (found.low, found.high) == pytest.approx((low, high))


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=12))
@settings(max_examples=100, deadline=None)
def test_isotonic_regression_is_scipys(values: list[float]) -> None:
    np.testing.assert_allclose(isotonic(np.array(values)), isotonic_regression(values).x, atol=1e-9)


def test_frames_are_worth_what_the_random_curve_says() -> None:
    curve = [(320, students(8)), (20, students(4)), (80, students(6))]
    halfway = frames_worth(students(7), 20, curve, rng())  # sqrt(80 * 320) = 160 random frames
    assert halfway is not None
    assert (halfway.value, halfway.low, halfway.high) == pytest.approx((8.0, 8.0, 8.0))
    for mean, worth_it in ((4.0, 1.0), (5.0, 2.0), (6.0, 4.0), (8.0, 16.0), (8.1, math.inf), (3.9, 0.0)):
        found = frames_worth(students(mean), 20, curve, rng())
        assert found is not None and found.value == pytest.approx(worth_it)
    assert frames_worth(students(7), 20, curve[:1], rng()) is None
    falling = [(20, students(4)), (80, students(7)), (320, students(5))]  # 4, 6, 6: what falls is noise
    found = frames_worth(students(5), 20, falling, rng())
    assert found is not None and found.value == pytest.approx(2.0)
    assert frames_worth(students(6.5), 20, falling, rng()).value == math.inf  # type: ignore[union-attr]


def test_the_interval_of_what_a_frame_is_worth_is_that_of_students_drawn_anew() -> None:
    own = np.array([5.0, 6.0, 7.0, 8.0])
    curve = [(20, students(4)), (80, students(6)), (320, students(8))]
    found = frames_worth(own[:, None] * np.ones(3), 20, curve, rng())
    draws = np.random.default_rng(1)
    means = draws.choice(own, (10_000, 4)).mean(1)
    brute = np.exp(np.interp(means, [4, 6, 8], np.log([20, 80, 320]))) / 20
    assert found is not None
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(brute, (0.025, 0.975))), rel=0.05)


def test_break_even_is_where_savings_cover_the_distillation() -> None:
    assert break_even(100.0, 11.0, 1.0) == 10
    assert break_even(101.0, 11.0, 1.0) == 11
    assert break_even(1.0, 11.0, 1.0) == 1
    assert break_even(100.0, 1.0, 1.0) is None and break_even(100.0, 1.0, 2.0) is None
    assert break_even(math.nan, 11.0, 1.0) is None


def test_a_comparison_has_the_scores_that_its_arms_allow() -> None:
    results = constant(MEANS, about=SOFT)
    table = games_table([results], "soft-20")
    cells = dict(zip(table.columns, table.rows[0], strict=True))
    assert [cells[head] for head in SCORES] == [
        "+0.50 [+0.50, +0.50]", "+0.30 [+0.30, +0.30]", robust(0.3, 0.5),
        "8.0 [8.0, 8.0]",
    ]  # fmt: skip
    assert "from the random policy (0) to the expert (1). A frame is worth so many" in table.note
    actions = {name: mean for name, mean in MEANS.items() if "soft" not in name} | {"distilled-20": 5.0}
    hard = games_table([constant(actions, about=SOFT)], "distilled-20")
    cells = dict(zip(hard.columns, hard.rows[0], strict=True))
    assert [cells.get(head) for head in SCORES] == [
        "+0.50 [+0.50, +0.50]", "+0.20 [+0.20, +0.20]", robust(0.2, 0.5), None,
    ]  # fmt: skip
    assert "from the random policy (0) to the expert (1)." in hard.note and "A frame" not in hard.note


def test_records_have_the_scores_as_numbers() -> None:
    found = {(row["arm"], row["split"]): row for row in build_records(Report([constant(MEANS, about=SOFT)]))}
    row = found["soft-20", "ood"]
    told = [
        row[name]
        for name in ("hard_label_recovery", "improvement_over_random", "label_robust_score", "frames_worth")
    ]
    assert told == pytest.approx([0.5, 0.3, label_robust(0.3, 0.5), 8.0])
    assert row["frames_worth_low"] == row["frames_worth_high"] == pytest.approx(8.0)
    assert found["random-soft-20", "id"]["improvement_over_random"] is None
    beyond = build_records(Report([constant({**MEANS, "soft-20": 9.0}, about=SOFT)]))
    assert {row["frames_worth"] for row in beyond} == {None}  # JSON has no infinity


def test_beyond_what_was_measured_a_frame_is_worth_more_or_less() -> None:
    for mean, told in ((9.0, ">16.0 [>16.0, >16.0]"), (3.0, "<1.0 [<1.0, <1.0]")):
        table = games_table([constant({**MEANS, "soft-20": mean}, about=SOFT)], "soft-20")
        assert table.rows[0][table.columns.index(SCORES[3])] == told


def test_random_frames_with_labels_of_others_do_not_count() -> None:
    results = constant(MEANS, about=SOFT)
    arm = results.main("soft-20", "id")
    assert arm is not None and (alike := random_alike(results, arm)) is not None and alike.name == "random-soft-20"
    found = worth(results, arm)
    assert found is not None and found[1:] == (20, 320)
    old = {name: dataclasses.replace(about, teachers=None) for name, about in SOFT.items()}
    earlier = constant(MEANS, about=old)  # which say of which set an arm stands beside
    arm = earlier.main("soft-20", "id")
    assert arm is not None and (alike := random_alike(earlier, arm)) is not None and alike.name == "random-soft-20"


def test_returns_are_drawn_against_sizes_by_samples_and_by_bytes(tmp_path: Path) -> None:
    results = constant(MEANS, about=SOFT)
    sized = [
        dataclasses.replace(arm, samples=arm.about.size or arm.samples, bytes=1000 * (arm.about.size or 0))
        for arm in results.arms
    ]
    results = dataclasses.replace(results, arms=sized)
    figure = arm_sizes_figure([results])
    assert len(figure.axes) == 4  # two splits, samples and bytes
    by_samples, by_bytes = figure.axes[:2]
    for axis, per_sample in ((by_samples, 1.0), (by_bytes, 1e-3)):
        lines = {line.get_label(): line for line in axis.containers}
        random = lines["random frames, labels of the same teachers"].lines[0]
        # of two arms of one size the better one is on the line
        np.testing.assert_allclose(random.get_xdata(orig=False), np.array([20, 80, 320]) * per_sample)
        np.testing.assert_allclose(random.get_ydata(orig=False), [11, 6, 8])
        np.testing.assert_allclose(lines["distilled, soft labels"].lines[0].get_ydata(orig=False), [7])
    results.save(tmp_path / "a.json")
    done = run("report", tmp_path / "a.json", "--figures", tmp_path / "figures")
    assert done.exit_code == 0, done.output
    drawn = {"returns-id.png", "returns-ood.png", "sizes.png"}
    assert {file.name for file in (tmp_path / "figures").iterdir()} == drawn
    again = run("report", tmp_path / "a.json", "--figures", tmp_path / "other", "--dry-run")
    assert all(name in again.output for name in drawn)
    assert "Mean return against the size of the set" in write_report(Report([results]), "html")
    assert not has_sizes(constant({"random-20": 1.0, "soft-20": 2.0}))


def test_without_an_expert_or_with_one_student_there_are_no_scores() -> None:
    without = {name: mean for name, mean in MEANS.items() if name != "expert" and "random-soft" not in name}
    table = games_table([constant(without, about=SOFT)], "soft-20")
    assert not set(SCORES) & set(table.columns) and not table.note
    single = games_table([constant(MEANS, about=SOFT, students=1)], "soft-20")
    assert not set(SCORES) & set(single.columns)
