"""Statistics against oracles, the evaluation on a tiny task, its resumption; stock students against d3rlpy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from d3rlpy.algos import IdentityTransformerActionSampler
from d3rlpy.base import LearnableConfig
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.optimizers import SGDFactory
from scipy import stats

from cartpole import TINY, collect_cartpole
from d3rlpy_distill import Budget, Distilled, OfflineDataset, TransitionArrays, distill, evaluate
from d3rlpy_distill.data.training_set import TrainingSet
from d3rlpy_distill.errors import CheckpointError, DistillError, OutputExistsError, SettingsError, UnknownNameError
from d3rlpy_distill.evaluation import (
    ArmKind,
    PartialBudget,
    Protocol,
    Results,
    difference_interval,
    standard_arms,
    student_seeds,
    summarise,
)
from d3rlpy_distill.evaluation.statistics import interquartile_mean
from d3rlpy_distill.executors import LocalExecutor
from d3rlpy_distill.learners.learner import AnyLearner, build_learner
from d3rlpy_distill.learners.stock import fit_stock, networks, seeded
from d3rlpy_distill.pipeline import Evaluation, load, plan_evaluation
from d3rlpy_distill.policies import DiscretePolicy, Policy
from d3rlpy_distill.report import build_tables, save_gallery
from d3rlpy_distill.students.base import Student
from d3rlpy_distill.students.bc import StockCloningStudent
from d3rlpy_distill.students.bcq import BcqStudent
from d3rlpy_distill.students.cql import CqlStudent
from d3rlpy_distill.students.dqn import DqnStudent
from d3rlpy_distill.students.dt import DecisionTransformerStudent
from d3rlpy_distill.students.mlp import MlpStudent
from d3rlpy_distill.students.teachers import Teachers
from d3rlpy_distill.tasks import Mode, Task
from d3rlpy_distill.tasks.gymnasium import GymnasiumTask
from entries import constant

N = 12
SHAPE = (3, 64, 64)


@pytest.mark.parametrize("n", [1, 3, 4, 7, 10, 100])
def test_interquartile_mean_equals_scipys_trimmed_mean(n: int) -> None:
    x = np.random.default_rng(n).normal(size=(5, n))
    np.testing.assert_allclose(interquartile_mean(x), stats.trim_mean(x, 0.25, axis=1))


def test_summary_by_hand() -> None:
    returns = np.array([[1.0, 3.0], [4.0, 4.0], [6.0, 2.0], [9.0, 11.0]])  # scores 2, 4, 4, 10
    summary = summarise(returns, np.random.default_rng(0))
    assert summary.mean == 5.0 and summary.iqm == 4.0
    assert summary.std == pytest.approx(np.std([2, 4, 4, 10], ddof=1))
    assert 2.0 <= summary.ci95[0] <= 4.0 <= summary.ci95[1] <= 10.0
    single = summarise(np.array([[1.0, 2.0, 3.0, 10.0]]), np.random.default_rng(0))
    assert single.mean == 4.0 and single.iqm == 2.5
    assert summarise(np.array([[7.0]]), np.random.default_rng(0)).std == 0.0
    with pytest.raises(ValueError, match="NaN"):
        summarise(np.array([[np.nan]]), np.random.default_rng(0))
    for shape in ((0, 3), (3,), (2, 0)):
        with pytest.raises(ValueError, match="expected \\(students, episodes\\), not empty"):
            summarise(np.zeros(shape), np.random.default_rng(0))


def test_bootstrap_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        a, b = rng.normal(1.0, 1.0, (40, 1)), rng.normal(0.0, 1.0, (40, 1))
        _, low, high = difference_interval(a, b, rng)
        covered += low <= 1.0 <= high
    assert 88 <= covered <= 100


class Counting(GymnasiumTask):
    """Counts its calls."""

    calls = 0

    def play(
        self, policies: Sequence[Policy], *, split: str, mode: Mode, episodes: int, seed: int
    ) -> npt.NDArray[np.float64]:
        self.calls += 1
        return super().play(policies, split=split, mode=mode, episodes=episodes, seed=seed)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> OfflineDataset:
    return load(collect_cartpole(tmp_path_factory.mktemp("cartpole") / "cartpole.h5"))


@pytest.fixture(scope="module")
def distilled(dataset: OfflineDataset) -> Distilled:
    return distill(dataset, n_samples=N, steps=1)


@pytest.fixture(scope="module")
def soft(dataset: OfflineDataset) -> Distilled:
    return distill(dataset, "labels", n_samples=N, teacher_steps=2, n_teachers=1)


@pytest.fixture(scope="module")
def task() -> Counting:
    return Counting("CartPole-v1", name="gym/CartPole-v1")


def plan(dataset: OfflineDataset, task: Task, *distilled: Distilled, **settings: Any) -> Evaluation:
    """Sampled and greedy play on two splits; what is called the expert plays at random, too."""
    chosen = {"protocol": TINY, "splits": ("test", "validation"), "expert": "random", **settings}
    return dataclasses.replace(plan_evaluation(dataset, distilled, **chosen), task=task)


def same(a: Results, b: Results) -> bool:
    """Whether two results are equal but for the seconds that training took."""
    pairs = zip(a.arms, b.arms, strict=True)
    return len(a.arms) == len(b.arms) and all(
        dataclasses.replace(x, train_seconds=0.0).to_json() == dataclasses.replace(y, train_seconds=0.0).to_json()
        and np.array_equal(x.returns, y.returns)
        for x, y in pairs
    )


ARMS = {
    "random-policy": ArmKind("random-policy"),
    "expert": ArmKind("expert"),
    "bc-10": ArmKind("percentile", student="mlp"),
    "bc-25": ArmKind("percentile", student="mlp"),
    "bc-40": ArmKind("percentile", student="mlp"),
    "bc-100": ArmKind("full", student="mlp"),
    "bc-100-converged": ArmKind("converged", student="mlp"),
    f"prior-{N}": ArmKind("prior", N, student="mlp"),
    f"random-{N}": ArmKind("random", N, student="mlp"),
    f"balanced-{N}": ArmKind("balanced", N, student="mlp"),
    f"init-{N}": ArmKind("initial", N, student="mlp", of=f"distilled-{N}"),
    f"distilled-{N}": ArmKind("distilled", N, student="mlp"),
}


def test_an_evaluation_has_every_arm_resumes_and_repeats(
    dataset: OfflineDataset, distilled: Distilled, task: Counting, tmp_path: Path
) -> None:
    results = plan(dataset, task, distilled).run(tmp_path / "a")
    assert {name: results.about(name) for name in results.names()} == ARMS and list(ARMS) == results.names()
    entries = {(a.name, a.split, a.mode) for a in results.arms}
    assert len(entries) == len(results.arms) == len(ARMS) * 4
    whole = [arm.samples for arm in results.arms if arm.about.kind in ("full", "converged")]
    assert whole == [len(dataset)] * 8
    assert {arm.samples for arm in results.arms if arm.about.size == N} == {N}
    calls = task.calls
    (tmp_path / "a" / "returns" / "bc-40-test-greedy.json").unlink()
    (tmp_path / "a" / "students" / f"random-{N}" / "1.safetensors").unlink()
    again = plan(dataset, task, distilled).run(tmp_path / "a")
    assert task.calls == calls + 1
    assert same(again, results)
    assert same(plan(dataset, task, distilled).run(tmp_path / "b"), results)
    loaded = Results.load(str(tmp_path / "a"))
    assert loaded.to_json() == again.to_json() and same(loaded, results)
    returns = build_tables(loaded)[0]
    assert [row[0] for row in returns.rows] == list(ARMS)


def test_another_evaluation_is_refused(
    dataset: OfflineDataset,
    distilled: Distilled,
    task: Counting,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = plan(dataset, task, distilled, arms=["random-policy"])
    run.run(tmp_path / "a")
    other = plan(dataset, task, distilled, arms=["random-policy"], protocol=dataclasses.replace(TINY, seed=1))
    with pytest.raises(CheckpointError, match="differs in seed"):
        other.run(tmp_path / "a")
    smaller = plan(dataset, task, distill(dataset, "random", n_samples=N), arms=["random-policy"])
    with pytest.raises(CheckpointError, match="differs in distilled_sha256"):
        smaller.run(tmp_path / "a")
    with (
        monkeypatch.context() as patch
    ):  # the file of a plug-in was edited: a student of the same name is another one
        patch.setattr(MlpStudent, "learning_rate", 0.5)
        edited = plan(dataset, task, distilled, arms=["random-policy"])
    with pytest.raises(CheckpointError, match="differs in learners_sha256"):
        edited.run(tmp_path / "a")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "mine").touch()
    with pytest.raises(OutputExistsError, match="holds no evaluation"):
        run.run(tmp_path / "c")


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_arms_are_the_same_whatever_else_is_evaluated_and_however_many_at_once(
    jobs: int, dataset: OfflineDataset, distilled: Distilled, soft: Distilled, task: Counting, tmp_path: Path
) -> None:
    names = [f"random-{N}", f"distilled-{N}"]
    alone = plan(dataset, task, distilled, arms=names).run(tmp_path / "alone")
    both = plan(dataset, task, soft, distilled, arms=[*names, "bc-10"]).run(
        tmp_path / "both", executor=LocalExecutor(jobs=jobs)
    )
    kept = [arm for arm in both.arms if arm.name in names]
    assert same(dataclasses.replace(both, arms=kept), alone)


def test_soft_labels_stand_beside_random_samples_with_labels_of_their_teachers(
    dataset: OfflineDataset, soft: Distilled, distilled: Distilled, task: Counting, tmp_path: Path
) -> None:
    ready = plan(dataset, task, soft, also={"mine": distilled}, coresets=["herding"])
    results = ready.run(tmp_path / "a")
    assert soft.teachers is not None
    taught = soft.teachers.sha256
    new = {name: results.about(name) for name in results.names() if name not in ARMS}
    assert new == {
        f"teachers-of-soft-{N}": ArmKind("teachers", labels="soft", of=f"soft-{N}", teachers=taught),
        f"herding-{N}": ArmKind("herding", N, student="mlp"),
        f"random-soft-{N}": ArmKind("random", N, "soft", "mlp", f"soft-{N}", taught),
        f"soft-{N}": ArmKind("distilled", N, "soft", "mlp", teachers=taught),
        "mine": ArmKind("distilled", N, student="mlp"),
    }
    drawn = (
        next(arm for arm in ready.arms if arm.name == f"random-soft-{N}")
        .draw(dataset, np.random.default_rng(0))
        .transitions
    )
    assert drawn.probabilities is not None
    np.testing.assert_array_equal(drawn.probabilities, soft.teachers.label(drawn.observations))


def test_a_set_that_a_student_cannot_learn_from_is_named(
    dataset: OfflineDataset, task: Task, soft: Distilled, distilled: Distilled
) -> None:
    told = f"cql learns from no soft labels, and has no arm of soft-{N}: give a set of --method hard-labels."
    assert told in plan(dataset, task, soft, distilled, student=["mlp", "cql"]).notes
    assert told not in plan(dataset, task, soft, distilled, student="mlp").notes
    assert told not in plan(dataset, task, distilled, student="cql").notes


def test_a_name_is_one_arm_s(dataset: OfflineDataset, task: Task, soft: Distilled) -> None:
    with pytest.raises(SettingsError, match="two arms of the name 'mlp-full'"):
        plan(dataset, task, soft, also={"full": soft}, student=["mlp", "cql"])


def test_random_samples_of_further_sizes_have_labels_of_the_same_teachers(
    dataset: OfflineDataset, soft: Distilled, task: Counting, tmp_path: Path
) -> None:
    assert soft.teachers is not None
    fewer = dataclasses.replace(soft, samples=soft.samples.take(np.arange(5)))
    other = distill(dataset, "labels", n_samples=7, teacher_steps=1, n_teachers=1)
    assert other.teachers is not None and other.teachers.sha256 != soft.teachers.sha256
    ready = plan(dataset, task, soft, fewer, other, random_soft=(30, 5, 7, 30))
    found = {arm.name: arm for arm in ready.arms if arm.about.kind == "random" and arm.about.labels == "soft"}
    sizes = {name: (arm.about.size, arm.about.of, arm.about.teachers) for name, arm in found.items()}
    ours, theirs = soft.teachers.sha256, other.teachers.sha256
    assert sizes == {
        f"random-soft-{N}": (N, f"soft-{N}", ours),
        "random-soft-5": (5, "soft-5", ours),  # the set's own, and no second one
        "random-soft-7": (7, "soft-7", theirs),
        f"random-soft-{N}-7": (7, f"soft-{N}", ours),
        "random-soft-7-5": (5, "soft-7", theirs),
        "random-soft-30": (30, f"soft-{N}", ours),
        "random-soft-7-30": (30, "soft-7", theirs),
    }
    for name, labelled in ((f"random-soft-{N}-7", soft), ("random-soft-7-30", other)):
        drawn = found[name].draw(dataset, np.random.default_rng(1)).transitions
        assert len(drawn) == sizes[name][0] and drawn.probabilities is not None and labelled.teachers is not None
        np.testing.assert_array_equal(drawn.probabilities, labelled.teachers.label(drawn.observations))
    few = plan(dataset, task, soft, random_soft=[N, 20], coresets=["herding", "random"], arms=["bc-100"])
    asked = {f"herding-{N}", f"random-{N}", f"random-soft-{N}", "random-soft-20"}
    assert {arm.name for arm in few.arms} == {"bc-100", *asked}  # named in arms or not
    results = plan(dataset, task, soft, random_soft=[20], arms=["random-soft-20"]).run(tmp_path / "a")
    assert [arm.samples for arm in results.arms] == [20] * 4
    assert Results.load(tmp_path / "a").about("random-soft-20").teachers == ours
    several = plan(dataset, task, soft, student=["mlp", "cql"], random_soft=[20])
    assert [arm.name for arm in several.arms if arm.about.size == 20] == ["mlp-random-soft-20"]
    for size in (0, len(dataset) + 1):
        with pytest.raises(SettingsError, match=f"random-soft {size}: expected 1 to {len(dataset)}"):
            plan(dataset, task, soft, random_soft=[size])


def test_a_set_with_soft_labels_is_trained_on_its_actions_for_who_asks(
    dataset: OfflineDataset, soft: Distilled, task: Counting, tmp_path: Path
) -> None:
    name = f"actions-of-soft-{N}"
    usual = [arm.name for arm in plan(dataset, task, soft).arms]
    added = plan(dataset, task, soft, add_arms=[name])
    assert name not in usual and {arm.name for arm in added.arms} == {*usual, name}
    alone = plan(dataset, task, soft, arms=["bc-10"], add_arms=[name])
    assert [arm.name for arm in alone.arms] == ["bc-10", name]
    arm = alone.arms[1]
    drawn = arm.draw(dataset, np.random.default_rng(0)).transitions
    assert drawn.probabilities is None and arm.budget == TINY.small
    np.testing.assert_array_equal(drawn.observations, soft.samples.observations)
    np.testing.assert_array_equal(drawn.actions, soft.samples.actions)
    results = alone.run(tmp_path / "a")
    assert results.about(name) == ArmKind("distilled-actions", N, student="mlp", of=f"soft-{N}")


def test_teachers_are_told_apart_by_their_weights(soft: Distilled, tmp_path: Path) -> None:
    soft.save(tmp_path / "soft.h5")
    again = Distilled.load(tmp_path / "soft.h5")
    assert soft.teachers is not None and again.teachers is not None
    assert again.teachers.sha256 == soft.teachers.sha256
    changed = [{name: value + 1 for name, value in state.items()} for state in soft.teachers.weights]
    others = Teachers(soft.teachers.config, changed, soft.samples.observations.shape[1:], 2)
    assert others.sha256 != soft.teachers.sha256


def test_the_subset_arms_differ_by_student_and_the_shared_ones_do_not(
    dataset: OfflineDataset, distilled: Distilled
) -> None:
    without = dataclasses.replace(distilled, initial=None)
    arms = {a.name: a for a in standard_arms("mlp", MlpStudent(), dataset, {f"distilled-{N}": without}, TINY)}
    assert f"init-{N}" not in arms
    for name, differ in (
        (f"random-{N}", True),
        (f"balanced-{N}", True),
        (f"prior-{N}", True),
        (f"distilled-{N}", False),
        ("bc-10", False),
    ):
        first, second = (arms[name].draw(dataset, np.random.default_rng(s)).transitions for s in (0, 1))
        assert (not np.array_equal(first.observations, second.observations)) == differ


def test_all_data_with_the_recorded_policy_is_an_arm_for_who_asks(
    dataset: OfflineDataset, distilled: Distilled, task: Counting, tmp_path: Path
) -> None:
    results = plan(dataset, task, distilled, arms=["bc-100-soft"]).run(tmp_path / "a")
    assert results.about("bc-100-soft") == ArmKind("full", labels="soft", student="mlp")
    assert results.find(["full"]) == [] and results.find(["full"], labels="soft") == ["bc-100-soft"]
    assert "bc-100-soft" not in [arm.name for arm in plan(dataset, task, distilled).arms]
    assert dataset.behaviour is not None
    always = np.tile(np.float32([1, 0]), (len(dataset.behaviour), 1))
    other = dataclasses.replace(dataset, behaviour=always)  # which the hash of the episodes leaves out
    with pytest.raises(CheckpointError, match="differs in behaviour_sha256"):
        plan(other, task, distilled, arms=["bc-100-soft"]).run(tmp_path / "a")


def test_budgets_are_a_students_own_where_none_are_given(dataset: OfflineDataset, distilled: Distilled) -> None:
    student = MlpStudent()
    assert Protocol().budgets(student) == (student.full, student.small)
    part = Protocol(full=PartialBudget(n_steps=7), small=PartialBudget(batch_size=3))
    assert part.budgets(student) == (Budget(7, student.full.batch_size), Budget(student.small.n_steps, 3))
    assert TINY.to_json({"mlp": student})["budgets"] == {
        "mlp": {"full": {"n_steps": 2, "batch_size": 8}, "small": {"n_steps": 2, "batch_size": 4}}
    }
    with pytest.raises(SettingsError, match="students=0, episodes=1: expected 1 or more each"):
        Protocol(0, 1)


def test_seeds_of_students_depend_on_their_arm_and_number_only() -> None:
    assert student_seeds(TINY, "bc-10", 0) == student_seeds(dataclasses.replace(TINY, students=9), "bc-10", 0)
    seeds = [student_seeds(TINY, arm, i) for arm in ("bc-10", "bc-25") for i in range(3)]
    assert len({seed for pair in seeds for seed in pair}) == 12


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"arms": ["bc-99"]}, SettingsError, "arm 'bc-99': expected some of random-policy"),
        ({"splits": ["ood"]}, SettingsError, "split 'ood': gym/CartPole-v1 has "),
        ({"student": "mpl"}, UnknownNameError, "did you mean 'mlp'"),
        ({"coresets": ["herd"]}, SettingsError, "coreset 'herd': expected some of"),
        ({"also": {"bc-7": None}}, SettingsError, "also 'bc-7': the table has an arm of that name"),
        ({"also": {"a/b": None}}, SettingsError, "also 'a/b': expected a name of letters, digits and hyphens"),
        ({"random_soft": [20]}, SettingsError, "random_soft: the sets have no teachers"),
        ({"add_arms": ["bc-100-hard"]}, SettingsError, "arm 'bc-100-hard': expected some of random-policy"),
        ({"task": "gym/Acrobot-v1"}, DistillError, "expected observations of shape"),
    ],
)
def test_what_cannot_be_evaluated_is_named(
    settings: dict[str, Any], error: type[Exception], message: str, dataset: OfflineDataset, distilled: Distilled
) -> None:
    if "also" in settings:
        settings = {"also": dict.fromkeys(settings["also"], distilled)}
    with pytest.raises(error) as failure:
        plan_evaluation(dataset, [distilled], **settings)
    assert message in str(failure.value) and "\n" not in str(failure.value)


def test_sets_of_other_data_are_refused(dataset: OfflineDataset, distilled: Distilled, tmp_path: Path) -> None:
    other = load(collect_cartpole(tmp_path / "other.h5"))
    other = dataclasses.replace(other, buffer=other.replay_buffer(50), behaviour=None, recorded_sha256=None)
    with pytest.raises(DistillError, match=f"distilled-{N} was not distilled from other.h5"):
        plan_evaluation(other, [distilled])
    with pytest.raises(SettingsError, match="nothing to evaluate"):
        plan_evaluation(dataset, [])
    with pytest.raises(SettingsError, match="two sets of one size"):
        plan_evaluation(dataset, [distilled, distilled])


def test_nothing_is_kept_where_no_directory_is_named(
    dataset: OfflineDataset, distilled: Distilled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    results = evaluate(dataset, distilled, protocol=TINY, arms=["random-policy", f"distilled-{N}"])
    assert list(results.splits) == ["test"] and not list(tmp_path.iterdir())
    assert results.names() == ["random-policy", f"distilled-{N}"]


STUDENTS = ["bc", "cql", "bcq", "dqn", "sac", "dt"]


def test_every_student_trains_plays_and_resumes(
    dataset: OfflineDataset, distilled: Distilled, soft: Distilled, task: Counting, tmp_path: Path
) -> None:
    """The table student x data on real data, tiny; run again, it trains nothing and gives the same."""
    seen: list[str] = []

    def run(students: list[str]) -> Results:
        ready = plan(dataset, task, distilled, soft, student=students, protocol=dataclasses.replace(TINY, seed=3))
        return ready.run(tmp_path / "-".join(students), progress=lambda what, done, total: seen.append(what))

    first = run(STUDENTS)
    trained = [arm for arm in first.arms if arm.about.student is not None]
    assert first.students == STUDENTS and any("training" in what for what in seen)
    assert {arm.samples for arm in trained if arm.name == f"dqn-random-{N}"} == {N}
    takes = [student for student in STUDENTS if f"{student}-soft-{N}" in first.names()]
    assert len(trained) == 4 * (4 * len(STUDENTS) + 2 * len(takes)) and "dqn" not in takes
    for path in (tmp_path / "-".join(STUDENTS) / "returns").iterdir():
        path.unlink()
    seen.clear()
    assert same(run(STUDENTS), first)
    assert not any("training" in what for what in seen)
    # a student's runs do not depend on which others there are
    alone = [arm for arm in run(["cql", "dt"]).arms if arm.about.student == "cql"]
    assert same(
        dataclasses.replace(first, arms=[arm for arm in first.arms if arm.about.student == "cql"]),
        dataclasses.replace(first, arms=alone),
    )
    tables = build_tables(first)
    rows = [row[0] for row in tables[0].rows]
    assert len(tables) == 3 and rows == ["random-policy", "expert", f"teachers-of-soft-{N}", *STUDENTS]
    assert "2 students x 3 episodes, real data 2 x 8, small sets 2 x 4" in tables[0].title
    assert tables[0].columns[:5] == ("algorithm", "full", "percentile-10", f"random-{N}", f"distilled-{N}")
    cell = first.get("sac-full", "validation", "sampled")
    assert cell is not None and tables[1].rows[rows.index("sac")][1] == f"{cell.mean:.2f} ± {cell.std:.2f}"
    assert "gain" in tables[2].title.lower() and [row[0] for row in tables[2].rows] == STUDENTS


def test_a_gallery_draws_images_and_refuses_vectors(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 3, 64, 64)).astype(np.uint8)

    def of(observations: np.ndarray) -> TransitionArrays:
        return TransitionArrays.one_step(observations, np.arange(7), np.zeros(7), 7)

    save_gallery(Distilled(of(images), initial=of(images[::-1])), tmp_path / "x.png", max_samples=5)
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(DistillError, match="needs images"):
        save_gallery(Distilled(of(images[:, 0, 0])), tmp_path / "y.png")


def test_results_are_asked_for_by_what_arms_are() -> None:
    results = constant(
        {"random-policy": 1.0, "bc-100": 2.0, "random-20": 3.0, "random-soft-20": 4.0, "soft-20": 5.0}
    )
    assert results.find(["random", "balanced"]) == ["random-20"]
    assert results.find(["random", "distilled"], labels="soft") == ["random-soft-20", "soft-20"]
    assert results.find(["full"], student="mlp") == [] and results.find(["full"], student="paper") == ["bc-100"]
    assert results.get("bc-100", "id", "greedy") is None and results.main("bc-100", "nowhere") is None
    arm = results.main("bc-100", "ood")
    assert arm is not None and (arm.mode, arm.split, arm.mean) == ("sampled", "ood", 2.0)


def matched(student: Student, dataset: OfflineDataset, n_steps: int) -> LearnableConfig:
    return student.learner(dataset, Budget(n_steps, 8))


@pytest.mark.parametrize("student", [StockCloningStudent(), CqlStudent()], ids=lambda student: student.name)
def test_stock_training_is_that_of_d3rlpy(student: Student, starpilot_dataset: OfflineDataset) -> None:
    """The memory format makes it faster and changes nothing but the order of sums (which Adam would blow up)."""
    buffer = starpilot_dataset.buffer
    config: Any = dataclasses.replace(matched(student, starpilot_dataset, 5), optim_factory=SGDFactory())
    mine = fit_stock(config, buffer, SHAPE, 5, seed=3, device="cpu:0")
    with seeded(3):
        stock = config.create(device="cpu:0")
        stock.create_impl(SHAPE, 15)  # fit would draw a batch to learn the shape from
        stock.fit(buffer, n_steps=5, n_steps_per_epoch=5, logger_adapter=NoopAdapterFactory(), show_progress=False)
    before, after = networks(build_learner(config, SHAPE, 15, seed=3)), networks(stock)
    for key, value in networks(mine).items():
        moved = (after[key] - before[key]).abs().max()
        assert (value - after[key]).abs().max() <= 0.01 * moved


def trained(student: Student, dataset: OfflineDataset) -> AnyLearner:
    config = matched(student, dataset, 3)
    return student.fit(config, TrainingSet(dataset.transitions, dataset.buffer), 3, seed=0)


@pytest.mark.parametrize("student", [CqlStudent(), DqnStudent(), BcqStudent()], ids=lambda student: student.name)
def test_value_based_students_take_their_best_action(student: Student, starpilot_dataset: OfflineDataset) -> None:
    frames = starpilot_dataset.transitions.observations[:70]
    before = str(np.random.get_state()), torch.get_rng_state().tolist()  # noqa: NPY002
    learner = trained(student, starpilot_dataset)
    policy = student.policy(learner, 0.0)
    assert isinstance(policy, DiscretePolicy)
    logits = policy.logits(torch.from_numpy(frames))
    np.testing.assert_array_equal(logits.argmax(1).numpy(), learner.predict(frames))
    assert torch.softmax(logits, 1).max(1).values.min() == 1.0
    assert before == (str(np.random.get_state()), torch.get_rng_state().tolist())  # noqa: NPY002


def test_the_transformer_is_asked_for_a_high_return(starpilot_dataset: OfflineDataset) -> None:
    """Its logits are those of d3rlpy's own stateful actor at the first step, for the same target return."""
    student, data = DecisionTransformerStudent(), starpilot_dataset.transitions
    learner = trained(student, starpilot_dataset)
    target = TrainingSet(data).target_return(90)
    assert target == pytest.approx(np.percentile(data.returns_to_go, 90))
    policy = student.policy(learner, target)
    assert isinstance(policy, DiscretePolicy)
    logits = policy.logits(torch.from_numpy(data.observations[:3]))
    actor = learner.as_stateful_wrapper(target_return=target, action_sampler=IdentityTransformerActionSampler())
    for i in range(3):
        actor.reset()
        theirs = torch.from_numpy(np.asarray(actor.predict(data.observations[i], 0.0)))
        torch.testing.assert_close(logits[i], theirs.float().reshape(-1), rtol=1e-4, atol=1e-5)
