"""Statistics against oracles, the protocol on a tiny benchmark, resumption, schema, rendering."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from d3rlpy.algos import IdentityTransformerActionSampler
from d3rlpy.dataset import ReplayBuffer
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.optimizers import SGDFactory
from scipy import stats

from d3rlpy_distill import (
    Budget,
    CheckpointError,
    ConvergenceConfig,
    DistillError,
    RandomSelector,
    TransitionArrays,
)
from d3rlpy_distill.evaluation import (
    ALGORITHMS,
    BenchmarkConfig,
    Results,
    run_algorithms,
    run_benchmark,
    standard_arms,
    summarise,
)
from d3rlpy_distill.evaluation.algorithms import fit_stock, networks, seeded
from d3rlpy_distill.evaluation.arms import arm_names
from d3rlpy_distill.evaluation.results import ArmResult
from d3rlpy_distill.evaluation.statistics import difference_interval, interquartile_mean
from d3rlpy_distill.learner import build_learner
from d3rlpy_distill.report import build_tables, render, save_figures, save_gallery
from procgen_datasets import TRAIN_LEVELS, VALIDATION_LEVELS
from procgen_datasets.player import ProcgenPlayer
from procgen_datasets.policies import RandomPolicy

SHAPE = (3, 64, 64)
TINY = BenchmarkConfig(
    students=2,
    episodes=2,
    bc=Budget(2, 8),
    synthetic=Budget(2, 4),
    convergence=ConvergenceConfig(steps=2, check_every=1, max_held_out=16),
)


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
    with pytest.raises(ValueError, match="NaN"):
        summarise(np.array([[np.nan]]), np.random.default_rng(0))


def test_bootstrap_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        a, b = rng.normal(1.0, 1.0, (40, 1)), rng.normal(0.0, 1.0, (40, 1))
        _, low, high = difference_interval(a, b, rng)
        covered += low <= 1.0 <= high
    assert 88 <= covered <= 100


class Counting(ProcgenPlayer):
    """Counts its calls."""

    calls = 0

    def play(self, policies: Sequence[Any], *, split: str, mode: str) -> Any:
        self.calls += 1
        return super().play(policies, split=split, mode=mode)


@pytest.fixture(scope="module")
def player() -> Counting:
    return Counting("starpilot", {"id": TRAIN_LEVELS, "ood": TRAIN_LEVELS}, TINY.episodes, seed=0)


def run(starpilot: ReplayBuffer, player: Counting, directory: Path, **changes: Any) -> Results:
    subset = RandomSelector(20).select(starpilot, np.random.default_rng(0))
    arms = standard_arms(starpilot, subset, subset, TINY)
    return run_benchmark(
        "starpilot",
        arms,
        {"random-policy": RandomPolicy(), "expert": RandomPolicy()},
        player,
        TINY,
        directory,
        identity={"data": "tiny", **changes},
        provenance={"command": "a test"},
    )


def test_benchmark_has_every_arm_resumes_and_repeats(
    tmp_path: Path, starpilot: ReplayBuffer, player: Counting
) -> None:
    results = run(starpilot, player, tmp_path / "a")
    assert results.names() == arm_names(20)
    entries = {(a.name, a.split, a.mode) for a in results.arms}
    assert len(entries) == len(results.arms) == 12 * 4
    calls = player.calls
    (tmp_path / "a" / "returns" / "bc-40-id-greedy.json").unlink()
    (tmp_path / "a" / "students" / "random-20" / "1.safetensors").unlink()
    again = run(starpilot, player, tmp_path / "a")
    assert player.calls == calls + 1
    same = lambda r: [(a.name, a.returns, a.ci95, a.samples) for a in r.arms]  # noqa: E731
    assert same(again) == same(results)
    assert same(run(starpilot, player, tmp_path / "b")) == same(results)
    with pytest.raises(CheckpointError, match="differs in data"):
        run(starpilot, player, tmp_path / "a", data="other")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "mine").touch()
    with pytest.raises(CheckpointError, match="holds no evaluation"):
        run(starpilot, player, tmp_path / "c")
    loaded = Results.load(tmp_path / "a")
    assert loaded == Results.from_json(json.loads(json.dumps(again.to_json())))
    check_reports(loaded, tmp_path)


def test_as_good_as_full_cloning_allows_five_percent_and_no_more() -> None:
    scores = {"bc-100": 10.0, "random-20": 9.51, "distilled-20": 9.49}
    arms = [
        ArmResult.from_returns(
            name,
            "id",
            "sampled",
            np.full((3, 4), score),
            normalised=0.0,
            samples=20,
            n_bytes=1,
            train_seconds=1.0,
            seed=0,
        )
        for name, score in scores.items()
    ]
    table = build_tables(Results("coinrun", {}, {}, arms))[0]
    column = table.columns.index("as good as bc-100")
    assert [row[column] for row in table.rows] == ["", "yes", "no"]


def check_reports(results: Results, directory: Path) -> None:
    tables = build_tables(results)
    assert len(tables) == 4 and [len(t.rows) for t in tables] == [12, 12, 10, 3]
    for table in tables:
        assert all(len(row) == len(table.columns) for row in table.rows)
    markdown = render(tables, "md")
    distilled = results.get("distilled-20", "ood", "sampled")
    assert distilled is not None and f"{distilled.mean:.2f} ± {distilled.std:.2f}" in markdown
    assert r"\pm" in render(tables, "latex") and "distilled-20," in render(tables, "csv")
    assert [t["title"] for t in json.loads(render(tables, "json"))["tables"]] == [t.title for t in tables]
    with pytest.raises(ValueError, match="expected one of md"):
        render(tables, "html")
    for path in save_figures([results, results], directory / "figures"):
        assert path.read_bytes()[:4] == b"\x89PNG"


def test_the_subset_arms_differ_by_student_and_the_shared_ones_do_not(starpilot: ReplayBuffer) -> None:
    subset = RandomSelector(20).select(starpilot, np.random.default_rng(0))
    arms = {a.name: a for a in standard_arms(starpilot, None, subset, TINY)}
    assert "init-20" not in arms
    for name, differ in (
        ("random-20", True),
        ("balanced-20", True),
        ("distilled-20", False),
        ("bc-10", False),
    ):
        first, second = (arms[name].data(np.random.default_rng(s)) for s in (0, 1))
        assert (not np.array_equal(first.observations, second.observations)) == differ


def test_foreign_results_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DistillError, match="does not exist"):
        Results.load(tmp_path)
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(DistillError, match="not valid JSON"):
        Results.load(tmp_path)
    (tmp_path / "results.json").write_text('{"arms": [{"name": "x"}]}')
    with pytest.raises(DistillError, match="do not follow the schema"):
        Results.load(tmp_path)


def test_gallery_draws_images_and_refuses_vectors(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 3, 64, 64)).astype(np.uint8)
    save_gallery(images, images[::-1], np.arange(7), tmp_path / "x.png", max_samples=5)
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(DistillError, match="needs images"):
        save_gallery(images[:, 0, 0], images[:, 0, 0], np.arange(7), tmp_path / "y.png")


def test_every_algorithm_trains_plays_and_resumes(starpilot: ReplayBuffer, tmp_path: Path) -> None:
    """The table algorithm x dataset on real data, tiny; run again, it trains nothing and gives the same."""
    config = BenchmarkConfig(students=2, episodes=2, bc=Budget(2, 8), synthetic=Budget(2, 4), seed=3)
    distilled = RandomSelector(12).select(starpilot, np.random.default_rng(0))
    player = ProcgenPlayer("starpilot", {"id": TRAIN_LEVELS, "ood": VALIDATION_LEVELS}, 2, seed=0)

    def evaluate(names: list[str]) -> Results:
        return run_algorithms(
            "starpilot", names, starpilot, distilled, {}, player, config, tmp_path / "-".join(names),
            identity={}, provenance={}, progress=lambda what, done, total: seen.append(what),
        )  # fmt: skip

    seen: list[str] = []
    names = list(ALGORITHMS)
    first = evaluate(names)
    assert len(first.arms) == 6 * 4 * 4 and any("training" in what for what in seen)
    assert [arm.samples for arm in first.arms if arm.name == "dqn-random-12"] == [12] * 4
    for path in (tmp_path / "-".join(names) / "returns").iterdir():
        path.unlink()
    seen.clear()
    assert [arm.returns for arm in evaluate(names).arms] == [arm.returns for arm in first.arms]
    assert not any("training" in what for what in seen)
    alone = evaluate(["cql"])  # an algorithm's students do not depend on which others there are
    assert [arm.returns for arm in alone.arms] == [a.returns for a in first.arms if a.name.startswith("cql-")]
    tables = build_tables(first)
    assert len(tables) == 2 and [row[0] for row in tables[0].rows][2:] == names
    assert "2 students x 2 episodes, real data 2 x 8, small sets 2 x 4" in tables[0].title
    assert tables[0].columns == ("algorithm", "full", "percentile-10", "random-12", "distilled-12")
    cell = next(arm for arm in first.arms if (arm.name, arm.split, arm.mode) == ("sac-full", "ood", "sampled"))
    assert tables[1].rows[2 + names.index("sac")][1] == f"{cell.mean:.2f} ± {cell.std:.2f}"


def test_stock_training_is_that_of_d3rlpy(starpilot: ReplayBuffer) -> None:
    """The memory format makes it faster and changes nothing but the order of sums (which Adam would blow up)."""
    for name in ("bc", "cql"):
        config = dataclasses.replace(ALGORITHMS[name].config(Budget(5, 8)), optim_factory=SGDFactory())
        mine = fit_stock(config, starpilot, SHAPE, 5, seed=3, device="cpu:0", on_step=lambda step: None)
        with seeded(3):
            stock = config.create(device="cpu:0")
            stock.create_impl(SHAPE, 15)  # fit would draw a batch to learn the shape from
            stock.fit(
                starpilot, n_steps=5, n_steps_per_epoch=5, logger_adapter=NoopAdapterFactory(), show_progress=False
            )
        before, after = networks(build_learner(config, SHAPE, 15, seed=3)), networks(stock)
        for key, value in networks(mine).items():
            moved = (after[key] - before[key]).abs().max()
            assert (value - after[key]).abs().max() <= 0.01 * moved


def test_value_based_students_take_their_best_action(starpilot: ReplayBuffer) -> None:
    data = TransitionArrays.from_buffer(starpilot)
    frames = torch.from_numpy(data.observations[:70])
    before = str(np.random.get_state()), torch.get_rng_state().tolist()  # noqa: NPY002
    for name in ("cql", "dqn", "bcq"):
        algorithm = ALGORITHMS[name]
        learner = fit_stock(
            algorithm.config(Budget(3, 8)), starpilot, SHAPE, 3, seed=0, device="cpu:0", on_step=lambda step: None
        )
        logits = algorithm.policy(learner, data).logits(frames)
        stock = learner.predict(data.observations[:70])
        np.testing.assert_array_equal(logits.argmax(1).numpy(), stock)
        assert torch.softmax(logits, 1).max(1).values.min() == 1.0
    assert before == (str(np.random.get_state()), torch.get_rng_state().tolist())  # noqa: NPY002


def test_the_transformer_is_asked_for_a_high_return(starpilot: ReplayBuffer) -> None:
    """Its logits are those of d3rlpy's own stateful actor at the first step, for the same target return."""
    data = TransitionArrays.from_buffer(starpilot)
    algorithm = ALGORITHMS["dt"]
    one_step = data.take(np.arange(len(data)))
    learner = fit_stock(
        algorithm.config(Budget(3, 8)), one_step, SHAPE, 3, seed=0, device="cpu:0", on_step=lambda step: None
    )
    logits = algorithm.policy(learner, data).logits(torch.from_numpy(data.observations[:3]))
    target = float(np.percentile(data.returns_to_go, 90))
    actor = learner.as_stateful_wrapper(target_return=target, action_sampler=IdentityTransformerActionSampler())
    for i in range(3):
        actor.reset()
        theirs = torch.from_numpy(np.asarray(actor.predict(data.observations[i], 0.0)))
        torch.testing.assert_close(logits[i], theirs.float().reshape(-1), rtol=1e-4, atol=1e-5)
