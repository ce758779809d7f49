"""Budgets tuned on validation starts: every arm alike, other seeds than the final ones, resumed, recorded."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cartpole import TINY, collect_cartpole
from commands import fails, run
from d3rlpy_distill import Budget, Distilled, OfflineDataset, distill
from d3rlpy_distill.errors import CheckpointError, DamagedFileError, DistillError, SettingsError
from d3rlpy_distill.estimates import evaluation_units
from d3rlpy_distill.evaluation import GRIDS, Results, Trial, Tuned, Tuning, grid_of, student_seeds
from d3rlpy_distill.evaluation.run import tuning_seeds
from d3rlpy_distill.evaluation.units import learner_config
from d3rlpy_distill.executors import LocalExecutor
from d3rlpy_distill.pipeline import Evaluation, load, plan_evaluation
from d3rlpy_distill.policies import Policy
from d3rlpy_distill.report import build_tables
from d3rlpy_distill.students.mlp import MlpStudent
from d3rlpy_distill.tasks import Mode
from d3rlpy_distill.tasks.gymnasium import GymnasiumTask

N = 8
GRID = Tuning((Budget(1, 4), Budget(2, 4)), (1e-3, 1e-2), students=2, episodes=3)
ARMS = ["random-policy", "bc-100", f"random-{N}", f"distilled-{N}", "bc-100-converged"]
TUNED = ARMS[1:4]


class Watched(GymnasiumTask):
    """Keeps what was played."""

    played: list[tuple[str, Mode, int, int]]

    def play(
        self, policies: Sequence[Policy], *, split: str, mode: Mode, episodes: int, seed: int
    ) -> npt.NDArray[np.float64]:
        self.played.append((split, mode, len(policies), episodes))
        return super().play(policies, split=split, mode=mode, episodes=episodes, seed=seed)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return collect_cartpole(tmp_path_factory.mktemp("cartpole") / "cartpole.h5")


@pytest.fixture(scope="module")
def dataset(file: Path) -> OfflineDataset:
    return load(file)


@pytest.fixture(scope="module")
def distilled(dataset: OfflineDataset) -> Distilled:
    return distill(dataset, n_samples=N, steps=1)


def plan(
    dataset: OfflineDataset, distilled: Distilled, tuning: Tuning | None = GRID, **settings: Any
) -> Evaluation:
    task = Watched("CartPole-v1", name="gym/CartPole-v1")
    task.played = []
    protocol = TINY if tuning is None else dataclasses.replace(TINY, full=None, small=None, tuning=tuning)
    chosen = {"protocol": protocol, "splits": ("test",), "expert": "random", "arms": ARMS, **settings}
    return dataclasses.replace(plan_evaluation(dataset, [distilled], **chosen), task=task)


def same(a: Results, b: Results) -> bool:
    pairs = zip(a.arms, b.arms, strict=True)
    return (
        all(np.array_equal(x.returns, y.returns) for x, y in pairs)
        and a.to_json()["tuning"] == b.to_json()["tuning"]
    )


def test_every_arm_tries_every_budget_on_validation_starts_and_keeps_the_best(
    dataset: OfflineDataset, distilled: Distilled, tmp_path: Path
) -> None:
    ready = plan(dataset, distilled)
    results = ready.run(tmp_path / "a")
    assert isinstance(ready.task, Watched)
    tried = [one for one in ready.task.played if one[0] == "validation"]
    assert tried == [("validation", "sampled", 1, 3)] * (len(TUNED) * 4 * 2)
    assert {one[0] for one in ready.task.played} == {"test", "validation"}
    assert list(results.tuning) == TUNED  # not what trains to convergence, nor what nothing trains
    for name, tuned in results.tuning.items():
        assert tuned.trials == GRID.trials and [len(one) for one in tuned.scores] == [2] * 4
        means = [np.mean(one) for one in tuned.scores]
        assert np.mean(tuned.scores[tuned.trials.index(tuned.best)]) == max(means), name
    loaded = Results.load(tmp_path / "a")
    assert loaded.to_json() == results.to_json() and same(loaded, results)
    assert results.protocol["tuning"] == {
        "budgets": [{"n_steps": 1, "batch_size": 4}, {"n_steps": 2, "batch_size": 4}],
        "learning_rates": [1e-3, 1e-2],
        "students": 2,
        "episodes": 3,
        "split": "validation",
    }


def test_the_final_students_have_the_best_budget_and_seeds_of_their_own(
    dataset: OfflineDataset, distilled: Distilled, tmp_path: Path
) -> None:
    name = f"distilled-{N}"
    arms = {"arms": [name]}
    results = plan(dataset, distilled, **arms).run(tmp_path / "a")
    best = results.tuning[name].best
    given = dataclasses.replace(TINY, small=best.budget)
    ready = plan(dataset, distilled, None, **arms, protocol=given)
    fixed = [dataclasses.replace(arm, student=_AtRate(best.learning_rate)) for arm in ready.arms]
    again = dataclasses.replace(ready, arms=fixed).run(tmp_path / "b")
    for x, y in zip(results.arms, again.arms, strict=True):
        np.testing.assert_array_equal(x.returns, y.returns)
    final = {student_seeds(TINY, name, i) for i in range(3)}
    assert final.isdisjoint(tuning_seeds(TINY, name, i) for i in range(3))


@dataclasses.dataclass(frozen=True)
class _AtRate(MlpStudent):
    """The student at another learning rate, configured by hand."""

    rate: float | None = None

    def learner(self, dataset: OfflineDataset, budget: Budget | None = None) -> Any:
        return dataclasses.replace(super().learner(dataset, budget), learning_rate=self.rate)


def test_trials_resume(dataset: OfflineDataset, distilled: Distilled, tmp_path: Path) -> None:
    arms = {"arms": [f"distilled-{N}"]}
    results = plan(dataset, distilled, **arms).run(tmp_path / "a")
    kept = sorted((tmp_path / "a" / "tuning" / f"distilled-{N}").iterdir())
    assert [file.name for file in kept] == [
        f"{budget}-{rate}-{i}.json" for budget in ("1x4", "2x4") for rate in ("0.001", "0.01") for i in (0, 1)
    ]
    kept[3].unlink()
    again = plan(dataset, distilled, **arms)
    assert same(again.run(tmp_path / "a"), results)
    assert isinstance(again.task, Watched)
    assert again.task.played == [("validation", "sampled", 1, 3)]
    kept[0].write_text(json.dumps({"returns": [1.0]}))
    with pytest.raises(DamagedFileError):
        plan(dataset, distilled, **arms).run(tmp_path / "a")
    with pytest.raises(CheckpointError, match="differs in tuning"):
        plan(dataset, distilled, dataclasses.replace(GRID, episodes=2), **arms).run(tmp_path / "a")


@pytest.mark.slow
def test_trials_do_not_depend_on_who_runs_them(
    dataset: OfflineDataset, distilled: Distilled, tmp_path: Path
) -> None:
    arms = {"arms": [f"distilled-{N}"]}
    here = plan(dataset, distilled, **arms).run(tmp_path / "a")
    assert same(plan(dataset, distilled, **arms).run(tmp_path / "b", executor=LocalExecutor(jobs=2)), here)


def test_what_nobody_tunes_is_as_it_was(dataset: OfflineDataset, distilled: Distilled, tmp_path: Path) -> None:
    results = plan(dataset, distilled, None, arms=[f"random-{N}"]).run(tmp_path / "a")
    assert not results.tuning and "tuning" not in results.to_json() and "tuning" not in results.protocol
    assert not (tmp_path / "a" / "tuning").exists()


def test_a_trial_has_its_batch_and_its_learning_rate(dataset: OfflineDataset) -> None:
    own = learner_config(MlpStudent(), dataset, Trial(Budget(7, 3)))
    other = learner_config(MlpStudent(), dataset, Trial(Budget(7, 3), 0.5))
    assert (own.batch_size, own.learning_rate) == (3, MlpStudent.learning_rate)
    assert (other.batch_size, other.learning_rate) == (3, 0.5)
    assert [str(one) for one in GRID.trials] == [
        "1 x 4 at 0.001", "1 x 4 at 0.01", "2 x 4 at 0.001", "2 x 4 at 0.01",
    ]  # fmt: skip
    assert Tuning((Budget(1, 4),)).trials == (Trial(Budget(1, 4)),)


def test_the_best_is_the_highest_mean_and_of_equal_ones_the_first() -> None:
    trials = [Trial(Budget(steps, 4)) for steps in (1, 2, 3)]
    assert Tuned(trials, [[1.0, 5.0], [9.0, -1.0], [2.0, 2.0]]).best == trials[1]
    assert Tuned(trials, [[2.0, 4.0], [4.0, 2.0], [3.0, 3.0]]).best == trials[0]
    value = Tuned(trials, [[1.0], [2.0], [0.0]]).to_json()
    assert value["chosen"] == {"n_steps": 2, "batch_size": 4, "learning_rate": None}
    assert Tuned.from_json(json.loads(json.dumps(value))).to_json() == value
    for broken in ({"tried": []}, {"tried": [{**value["tried"][0], "scores": []}]}):
        with pytest.raises(ValueError, match="tuning without scores"):
            Tuned.from_json(broken)


def test_what_cannot_be_tuned_is_named(dataset: OfflineDataset, distilled: Distilled) -> None:
    for settings, message in (
        ({"budgets": ()}, "tuning over 0 budgets"),
        ({"learning_rates": (0.0,)}, "expected one budget or more, learning rates above 0"),
        ({"learning_rates": (1e-3, float("nan"))}, "learning rates above 0"),
        ({"learning_rates": (float("inf"),)}, "learning rates above 0"),
        ({"students": 0}, "students=0"),
        ({"budgets": (Budget(1, 2), Budget(1, 2))}, "tries one budget twice"),
    ):
        with pytest.raises(SettingsError, match=message):
            dataclasses.replace(GRID, **settings)
    with pytest.raises(SettingsError, match="the student sac has no single learning rate"):
        plan(dataset, distilled, student="sac", arms=None)
    task = GymnasiumTask("CartPole-v1", name="gym/CartPole-v1")
    task.splits = ("test",)
    with pytest.raises(SettingsError, match="budgets are tuned on validation starts: gym/CartPole-v1 has test"):
        GRID.check(task, dataset, {})
    assert any("no test" in note for note in plan(dataset, distilled, splits=("test", "validation")).notes)
    assert not any("no test" in note for note in plan(dataset, distilled).notes)


def test_damaged_tuning_is_named(dataset: OfflineDataset, distilled: Distilled, tmp_path: Path) -> None:
    results = plan(dataset, distilled, arms=[f"random-{N}"]).run(tmp_path / "a")
    value = results.to_json()
    value["tuning"][f"random-{N}"]["tried"][0]["n_steps"] = 0
    with pytest.raises(DistillError, match="does not follow the schema"):
        Results.from_json(value, tmp_path / "x.json", [arm.returns for arm in results.arms])
    value = results.to_json()
    value["tuning"][f"random-{N}"]["chosen"]["n_steps"] += 1
    with pytest.raises(DistillError, match="returned most"):
        Results.from_json(value, tmp_path / "x.json", [arm.returns for arm in results.arms])


def test_tables_say_each_arms_budget(dataset: OfflineDataset, distilled: Distilled, tmp_path: Path) -> None:
    results = plan(dataset, distilled).run(tmp_path / "a")
    returns, data = build_tables(results)
    assert "budgets tuned on validation" in returns.title and "steps x batch" not in returns.title
    assert data.columns[-1] == "budget (steps x batch)"
    told = {row[0]: row[-1] for row in data.rows}
    assert told == {**{name: str(results.tuning[name].best) for name in TUNED}, "bc-100-converged": ""}


def test_a_dry_run_counts_the_trials(dataset: OfflineDataset, distilled: Distilled) -> None:
    few = [cost.name for cost in evaluation_units(plan(dataset, distilled, None))]
    tuned = evaluation_units(plan(dataset, distilled))
    trials = [cost for cost in tuned if cost.name.startswith("tuning ")]
    assert [cost.name for cost in trials] == [f"tuning {name}, {one}" for name in TUNED for one in GRID.trials]
    assert {cost.units for cost in trials} == {2} and all(cost.seconds > 0 for cost in trials)
    assert [cost.name for cost in tuned if cost not in trials] == few


def test_the_command_tunes(file: Path, distilled: Distilled, tmp_path: Path) -> None:
    distilled.save(tmp_path / "small.h5")
    command = ["evaluate", file, tmp_path / "small.h5", "--students", 1, "--episodes", 1, "--splits", "test",
               "--arms", f"random-{N},distilled-{N}", "--out", tmp_path / "a"]  # fmt: skip
    tune = ["--tune", "1x4,2x4", "--learning-rates", "5e-4", "--tune-students", 1, "--tune-episodes", 1]
    printed = run(*command, *tune, "--print-config")
    (tmp_path / "config.toml").write_text(printed.stdout)
    assert 'tune = ["1x4", "2x4"]' in printed.stdout
    done = run("evaluate", file, tmp_path / "small.h5", "--config", tmp_path / "config.toml", "--json")
    assert done.exit_code == 0, done.output
    value = json.loads(done.stdout)
    tried = value["tuning"][f"random-{N}"]["tried"]
    assert [(one["n_steps"], one["batch_size"], one["learning_rate"]) for one in tried] == [
        (1, 4, 5e-4),
        (2, 4, 5e-4),
    ]
    fails(2, "--tune weak: expected strong, or steps x batch", *command, "--tune", "weak")
    fails(2, "expected strong, or steps x batch", *command, "--tune", "300x64x2")
    fails(2, "budget of 0 x 64: expected 1 or more", *command, "--tune", "0x64")
    fails(2, "are tried by --tune", *command, "--learning-rates", "1e-3")
    fails(2, "are those of --tune", *command, "--tune-students", 2)
    fails(2, "chooses every arm's budget", *command, "--tune", "strong", "--small-steps", 77)
    fails(2, "chooses every arm's budget", *command, "--tune", "strong", "--full-steps", 77)
    fails(2, "expected for example 5e-4", *command, "--tune", "strong", "--learning-rates", "x")


def test_a_grid_is_a_name_or_budgets() -> None:
    assert grid_of(["strong"]) is GRIDS["strong"]
    assert grid_of(["300x64", "2x8"]).budgets == (Budget(300, 64), Budget(2, 8))
    for names, message in (
        (["weak"], "weak: expected strong, or steps x batch"),
        (["300x64", "strong"], "expected strong, or steps x batch"),
        (["300x64", "300x64"], "tries one budget twice"),
        (["0x64"], "budget of 0 x 64"),
    ):
        with pytest.raises(SettingsError, match=message):
            grid_of(names)


def test_the_strong_grid_has_the_students_own_budgets() -> None:
    from d3rlpy_distill.students.impala import ImpalaS2dStudent

    grid = GRIDS["strong"]
    assert {ImpalaS2dStudent.full, ImpalaS2dStudent.small} <= set(grid.budgets)
    assert ImpalaS2dStudent.learning_rate in grid.learning_rates
