"""Files of results: what is written is read back; version 0.1 is read; damage is named in one line."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from d3rlpy_distill.errors import DistillError
from d3rlpy_distill.evaluation import ArmKind, ArmResult, Results
from d3rlpy_distill.evaluation.layout import lay_out
from d3rlpy_distill.evaluation.results import SCHEMA
from d3rlpy_distill.evaluation.returns import load_returns, save_returns
from d3rlpy_distill.evaluation.statistics import interquartile_mean
from d3rlpy_distill.files.documents import DIGEST
from d3rlpy_distill.report import read_report
from entries import ABOUT, SPLITS, constant, entry

ROOT = Path(__file__).parent.parent
PUBLISHED = ROOT / "benchmarks" / "results"


def same(a: Results, b: Results) -> bool:
    """Whether everything is equal, the raw returns among it."""
    pairs = zip(a.arms, b.arms, strict=True)
    return a.to_json() == b.to_json() and all(np.array_equal(x.returns, y.returns) for x, y in pairs)


def sample(task: str = "gym/CartPole-v1") -> Results:
    rng = np.random.default_rng(0)
    arms = [
        entry(name, ABOUT[name], rng.normal(size=(1 if name == "expert" else 3, 4)), split="test", normalised=None)
        for name in ("expert", "bc-100", "soft-20")
    ]
    return Results(
        task, {"students": 3, "budgets": {"paper": {}}}, {"command": "none"}, {"test": "test seeds"}, arms
    )


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_saved_is_read_back(whole: bool, tmp_path: Path) -> None:
    results = constant({"expert": 3.0, "random-20": 1.0, "soft-20": 2.0}) if whole else sample()
    path = tmp_path / "new" / "results.json"
    results.save(path)
    assert sorted(file.name for file in path.parent.iterdir()) == ["results.json", "results.npz"]
    for read in (Results.load(path), Results.load(path.parent), read_report(path)):
        assert isinstance(read, Results) and same(read, results)
        assert all(type(x) is type(y) for a, b in zip(read.arms, results.arms, strict=True)
                   for x, y in zip(dataclasses.astuple(a), dataclasses.astuple(b), strict=True))  # fmt: skip
    assert read.arms[0].returns.dtype == np.float64
    assert read.students == ["paper"] and read.title == ("coinrun" if whole else "CartPole-v1")


def test_equal_results_give_equal_bytes(tmp_path: Path) -> None:
    sample().save(tmp_path / "a.json")
    sample().save(tmp_path / "b.json")
    for suffix in (".json", ".npz"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_files_may_be_renamed_together(tmp_path: Path) -> None:
    sample().save(tmp_path / "a.json")
    for suffix in (".json", ".npz"):
        (tmp_path / f"a{suffix}").rename(tmp_path / f"b{suffix}")
    assert same(Results.load(tmp_path / "b.json"), sample())


def test_an_arm_is_a_line(tmp_path: Path) -> None:
    sample().save(tmp_path / "a.json")
    lines = (tmp_path / "a.json").read_text().splitlines()
    arms = [json.loads(line.strip().rstrip(",")) for line in lines if line.strip().startswith('{"name"')]
    assert arms == sample().to_json()["arms"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(json_values)
@settings(max_examples=100, deadline=None)
def test_the_layout_changes_no_value(value: Any) -> None:
    assert json.loads(lay_out(value)) == value


@given(st.lists(arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 4)),
                       elements=st.floats(allow_nan=False, allow_infinity=False)), max_size=3))  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_returns_are_kept_to_the_last_bit(tmp_path_factory: pytest.TempPathFactory, returns: list[Any]) -> None:
    path = tmp_path_factory.mktemp("returns") / "x.npz"
    digest = save_returns(path, returns)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    read = load_returns(path, digest, [one.shape for one in returns])
    assert len(read) == len(returns)
    for one, other in zip(returns, read, strict=True):
        assert other.dtype == np.float64 and one.shape == other.shape and np.array_equal(one, other)


def test_whole_returns_take_half_the_space(tmp_path: Path) -> None:
    save_returns(tmp_path / "whole.npz", [np.arange(6.0).reshape(2, 3)])
    save_returns(tmp_path / "any.npz", [np.full((2, 3), 0.1)])
    with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / "any.npz") as other:
        assert whole["returns"].dtype == np.float32 and other["returns"].dtype == np.float64


def fails_to_load(path: Path, message: str) -> None:
    with pytest.raises(DistillError) as failure:
        Results.load(path)
    assert message in str(failure.value) and "\n" not in str(failure.value)


def rewrite(path: Path, value: dict[str, Any]) -> None:
    """Writes results by hand, without the digest that belongs to what they were."""
    path.write_text(json.dumps({key: one for key, one in value.items() if key != DIGEST}))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    sample().save(tmp_path / "results.json")
    return tmp_path / "results.json"


def test_missing_changed_and_short_returns_are_refused(saved: Path) -> None:
    packed, data = saved.with_suffix(".npz"), saved.with_suffix(".npz").read_bytes()
    packed.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    fails_to_load(saved, f"{packed} was changed")
    packed.write_bytes(data[: len(data) // 2])
    fails_to_load(saved, f"{packed} was changed")
    packed.unlink()
    fails_to_load(saved, f"{packed} does not exist: the raw returns belong beside the results")
    value = json.loads(saved.read_text())
    for content, message in (
        (save_returns(packed, [np.zeros((3, 4))], overwrite=True), "has 12 returns: expected 28"),
        (hashlib.sha256(b"no archive").hexdigest(), "holds no returns"),
    ):
        if "holds" in message:
            packed.write_bytes(b"no archive")
        rewrite(saved, {**value, "returns_sha256": content})
        fails_to_load(saved, message)


def test_an_archive_of_something_else_is_refused(saved: Path) -> None:
    packed, value = saved.with_suffix(".npz"), json.loads(saved.read_text())
    for arrays_ in ({"other": np.zeros(28)}, {"returns": np.array(["text"] * 28)}, {"returns": np.zeros((7, 4))}):
        np.savez(packed, **arrays_)
        digest = hashlib.sha256(packed.read_bytes()).hexdigest()
        rewrite(saved, {**value, "returns_sha256": digest})
        fails_to_load(saved, str(packed))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "does not exist: expected the results of 'rld-distill evaluate'"),
        ("{", "it is no JSON"),
        ("\udcff", "it is no JSON"),
        ("[]", "expected a JSON object"),
        ("null", "expected a JSON object"),
        ("3", "expected a JSON object"),
        ("{}", "does not follow the schema"),
        ('{"schema": 3}', "is of schema 3: this version reads 2; update d3rlpy-distill"),
        ('{"schema": 2}', "does not follow the schema"),
        ('{"arms": [{"name": "x"}]}', "does not follow the schema"),
    ],
)
def test_what_is_no_file_of_results_is_refused(text: str | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "results.json").write_bytes(text.encode(errors="surrogateescape"))
    fails_to_load(tmp_path, message)


@pytest.mark.parametrize(
    ("field", "value"),
    [("split", "other"), ("mode", "noisy"), ("n_students", -3), ("n_episodes", "many"), ("ci95", [1]), ("mean", "x"),
     ("name", ...), ("kind", ...), ("labels", ...), ("size", "some"), ("n_students", 4)],
)  # fmt: skip
def test_a_damaged_arm_is_refused(field: str, value: object, saved: Path) -> None:
    whole = json.loads(saved.read_text())
    if value is ...:
        del whole["arms"][1][field]
    else:
        whole["arms"][1][field] = value
    saved.write_text(json.dumps(whole))
    fails_to_load(saved, "was changed after it was written")
    rewrite(saved, whole)
    fails_to_load(saved, str(saved.with_suffix("")))


def test_results_without_arms_are_refused(saved: Path) -> None:
    whole = json.loads(saved.read_text())
    digest = save_returns(saved.with_suffix(".npz"), [], overwrite=True)
    rewrite(saved, {**whole, "arms": [], "returns_sha256": digest})
    fails_to_load(saved, "ValueError no arms")


def old_arm(name: str, split: str, returns: list[list[float]], samples: int = 0) -> dict[str, Any]:
    """As version 0.1 wrote it."""
    array = np.array(returns)
    return {
        "name": name, "split": split, "mode": "sampled", "mean": float(array.mean()), "std": 0.5, "iqm": 1.25,
        "ci95": [0.25, 1.75], "normalised": 0.125, "n_students": len(returns), "n_episodes": array.shape[1],
        "samples": samples, "bytes": 12 * samples, "train_seconds": 1.5, "returns": returns,
    }  # fmt: skip


def old(names: dict[str, int], *, method: str = "GradientMatchingConfig", **changes: Any) -> dict[str, Any]:
    """Results of version 0.1 with these arms, each with the number of its samples."""
    protocol = {
        "students": 2,
        "bc": {"n_steps": 1000, "batch_size": 256},
        "synthetic": {"n_steps": 100, "batch_size": 15},
        "seed": 0,
        "distilled_sha256": "d15",
        "levels": {"id": {"start": 0, "num": 200}, "ood": {"start": 0, "num": 0}},
        **changes,
    }
    record = {"file": "x.h5", "settings": {"config": {"method": method, "n_samples": 150}, "steps": 3000}}
    arms = [
        old_arm(name, split, [[1.0, 2.0]] if samples == 0 else [[i, 0.5], [3.0, 4.0]], samples)
        for i, (name, samples) in enumerate(names.items())
        for split in ("id", "ood")
    ]
    provenance = {"command": "rld-distill evaluate", "distilled": record}
    return {"game": "starpilot", "protocol": protocol, "provenance": provenance, "arms": arms}


def read_old(value: dict[str, Any], path: Path) -> Results:
    path.write_text(json.dumps(value))
    return Results.load(path)


def test_the_arms_of_version_0_1_get_fields(tmp_path: Path) -> None:
    arms = {
        "random-policy": ArmKind("random-policy"),
        "expert": ArmKind("expert"),
        "teachers-of-mine": ArmKind("teachers", labels="soft", of="mine"),
        "bc-10": ArmKind("percentile", student="paper"),
        "bc-100": ArmKind("full", student="paper"),
        "bc-100-converged": ArmKind("converged", student="paper"),
        "prior-150": ArmKind("prior", 150, student="paper"),
        "random-150": ArmKind("random", 150, student="paper"),
        "balanced-150": ArmKind("balanced", 150, student="paper"),
        "init-150": ArmKind("initial", 150, student="paper", of="distilled-150"),
        "distilled-150": ArmKind("distilled", 150, student="paper"),
        "paper-150": ArmKind("distilled", 150, student="paper"),
        "random-soft-150": ArmKind("random", 150, "soft", "paper", of="soft-150"),
        "soft-150": ArmKind("distilled", 150, "soft", "paper"),
        "soft-150-seed-1": ArmKind("distilled", 150, "soft", "paper"),
        "mine": ArmKind("distilled", 150, "soft", "paper"),
        "random-mine": ArmKind("random", 150, "soft", "paper", of="mine"),
        "random-theirs": ArmKind("random", 150, "soft", "paper", of="theirs"),
        "theirs": ArmKind("distilled", 150, "soft", "paper"),
    }
    others = {"soft-150": "s0", "mine": "a11", "theirs": "b22", "paper-150": "c33"}
    names = {name: 0 if about.student is None else 150 for name, about in arms.items()}
    value = old(names, other_sha256=others)
    results = read_old(value, tmp_path / "old.json")
    assert {name: results.about(name) for name in results.names()} == arms
    assert results.task == "procgen/starpilot" and results.splits == SPLITS and results.students == ["paper"]
    assert results.protocol["budgets"] == {
        "paper": {"full": value["protocol"]["bc"], "small": value["protocol"]["synthetic"]}
    }
    assert results.protocol["distilled_sha256"] == {"distilled-150": "d15", **others}
    assert results.protocol["levels"] == value["protocol"]["levels"] and results.protocol["seed"] == 0
    record = results.provenance["distilled"]["distilled-150"]
    assert record == {**value["provenance"]["distilled"], "content_sha256": "d15"}
    for old_one, new in zip(value["arms"], results.arms, strict=True):
        assert new.returns.tolist() == old_one["returns"] and list(new.ci95) == old_one["ci95"]
        for field in (
            "name",
            "split",
            "mode",
            "mean",
            "std",
            "iqm",
            "normalised",
            "samples",
            "bytes",
            "train_seconds",
        ):
            assert getattr(new, field) == old_one[field]
    results.save(tmp_path / "new.json")
    assert same(Results.load(tmp_path / "new.json"), results)


def test_a_soft_set_of_version_0_1_stands_under_the_name_of_its_arm(tmp_path: Path) -> None:
    value = old({"soft-150": 150}, method="LabelDistillationConfig", other_sha256={"soft-150": "with labels"})
    results = read_old(value, tmp_path / "old.json")
    assert results.protocol["distilled_sha256"] == {"soft-150": "with labels"}
    assert results.provenance["distilled"]["soft-150"]["content_sha256"] == "d15"
    value["provenance"]["distilled"]["settings"]["steps"] = 0  # which trains no teacher: there are no labels
    results = read_old({**value, "arms": old({"distilled-150": 150})["arms"]}, tmp_path / "other.json")
    assert list(results.provenance["distilled"]) == ["distilled-150"]


def test_algorithms_of_version_0_1_are_students(tmp_path: Path) -> None:
    names = {"expert": 0, "bc-full": 900, "bc-percentile-10": 90, "bcq-random-150": 150, "bcq-distilled-150": 150}
    datasets = ["full", "percentile-10", "random-150", "distilled-150"]
    results = read_old(old(names, algorithms=["bc", "bcq"], datasets=datasets), tmp_path / "old.json")
    assert [results.about(name) for name in names] == [
        ArmKind("expert"),
        ArmKind("full", student="bc"),
        ArmKind("percentile", student="bc"),
        ArmKind("random", 150, student="bcq"),
        ArmKind("distilled", 150, student="bcq"),
    ]
    assert results.students == list(results.protocol["budgets"]) == ["bc", "bcq"]


def test_validation_levels_of_version_0_1_are_no_unseen_ones(tmp_path: Path) -> None:
    levels = {"id": {"start": 0, "num": 200}, "ood": {"start": 200, "num": 100}}
    results = read_old(old({"bc-100": 900}, levels=levels), tmp_path / "old.json")
    assert results.splits == {"id": "seen levels (ID)", "validation": "validation levels (200-299)"}
    assert [arm.split for arm in results.arms] == ["id", "validation"]
    assert results.protocol["levels"] == {"id": levels["id"], "validation": levels["ood"]}


@pytest.mark.parametrize("damage", ["split", "mode", "returns", "game", "protocol"])
def test_damaged_results_of_version_0_1_are_refused(damage: str, tmp_path: Path) -> None:
    value = old({"bc-100": 900})
    if damage in value:
        del value[damage]
    else:
        value["arms"][0][damage] = [[1.0, 2.0], [3.0]] if damage == "returns" else "other"
    (tmp_path / "results.json").write_text(json.dumps(value))
    fails_to_load(tmp_path, "does not follow the schema")


def published() -> list[Path]:
    return sorted(PUBLISHED.glob("*.json"))


def arms_of(path: Path) -> list[ArmResult]:
    report = read_report(path)
    parts = [cell.results for cell in report] if isinstance(report, list) else [report]
    return [arm for results in parts for arm in results.arms]


@pytest.mark.parametrize("path", published(), ids=lambda path: path.stem)
def test_published_summaries_are_those_of_their_returns(path: Path) -> None:
    value = json.loads(path.read_text())
    assert value["schema"] == SCHEMA
    for arm in arms_of(path):
        assert arm.returns.shape == (arm.n_students, arm.n_episodes)
        scores = arm.returns[0] if arm.n_students == 1 else arm.returns.mean(1)
        assert (arm.about.student is None) == (arm.samples == 0) == (arm.n_students == 1)
        assert arm.mean == pytest.approx(scores.mean()) and arm.std == pytest.approx(scores.std(ddof=1))
        assert arm.iqm == pytest.approx(interquartile_mean(scores)) and arm.ci95[0] <= arm.iqm <= arm.ci95[1]
    distilled = [arm for arm in arms_of(path) if arm.about.kind == "distilled"]
    assert distilled and all(arm.about.size == arm.samples for arm in distilled)


def test_published_results_are_small() -> None:
    assert len(published()) >= 14
    assert sum(path.stat().st_size for path in PUBLISHED.rglob("*") if path.is_file()) < 1_000_000
