"""The scripts of continuous control: validation starts choose what a dataset takes; the curve shows the table."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from test_readme import load_script

ARGUMENTS = argparse.Namespace(
    out="out", preset="percentile", labels="expert", method="kernel-actions", samples=4, seeds=2, students=2,
    episodes=1, jobs=1, tangents=[0.0, 0.5], sets_only=True,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the script plans, without its work."""

    sets: list[str]
    also: dict[str, str]
    splits: list[str]
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)


@pytest.mark.parametrize(("second", "taken"), [(0.1, ""), (0.9, "-tangent-0.5")])
def test_a_dataset_takes_what_returns_most_on_validation_starts(
    second: float, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, made, played = load_script("continuous_control"), [], []
    scores = {"choice-0-seed-0": 0.2, "choice-0-seed-1": 0.4, "choice-1-seed-0": second, "choice-1-seed-1": 0.2}

    def distil(dataset: str, path: Path, method: str, **settings: Any) -> None:
        made.append((path.name, settings["seed"], settings.get("tangent")))

    def plan(dataset: str, sets: list[str], *, also: dict[str, str], splits: list[str], **_: Any) -> Plan:
        return Plan(sets, also, splits)

    def play(ready: Plan, out: Path, name: str, arguments: argparse.Namespace) -> SimpleNamespace:
        played.append((ready, str(out)))
        return SimpleNamespace(arms=[SimpleNamespace(name=arm, normalised=scores.get(arm)) for arm in ready.also])

    monkeypatch.setattr(script, "load", lambda name, data_directory: name)
    monkeypatch.setattr(script, "distill_to_file", distil)
    monkeypatch.setattr(script, "Distilled", SimpleNamespace(load=lambda path: path.stem))
    monkeypatch.setattr(script, "plan_evaluation", plan)
    monkeypatch.setattr(script, "play", play)
    script.run("hopper-medium", ARGUMENTS)
    stem = "hopper-medium-kernel-actions-percentile-4"
    assert made == [
        (f"{stem}-0.h5", 0, None), (f"{stem}-1.h5", 1, None),
        (f"{stem}-tangent-0.5-0.h5", 0, 0.5), (f"{stem}-tangent-0.5-1.h5", 1, 0.5),
    ]  # fmt: skip
    (choice, _), (test, out) = played
    assert choice.splits == ["validation"] and set(choice.also) == set(scores)
    assert test.splits == ["test"] and out == f"out/results/{stem}{taken}"
    assert test.sets == [f"{stem}{taken}-0"] and test.also == {"seed-1": f"{stem}{taken}-1"}
    assert test.provenance["tangents"] == {"0": pytest.approx(0.3), "0.5": pytest.approx((second + 0.2) / 2)}

    script.run("hopper-medium", argparse.Namespace(**{**vars(ARGUMENTS), "tangents": [0.0]}))
    assert len(played) == 3 and "tangents" not in played[-1][0].provenance  # nothing to choose from


def test_the_curve_of_sizes_shows_the_table() -> None:
    from benchmarks.continuous_sizes import DATASET, curve
    from benchmarks.update_readme import sizes_table

    table = sizes_table(DATASET)
    columns = {name: [row[i] for row in table.rows] for i, name in enumerate(table.columns)}
    (axis,) = curve(DATASET).axes
    lines = {str(line.get_label()): line for line in axis.get_lines()}
    assert (
        [tick.get_text() for tick in axis.get_xticklabels()] == columns["samples"] == ["16", "64", "256", "1024"]
    )
    for label, column in (
        ("random states, labels of the sets", "random, labels of the sets"),
        ("random transitions", "random, actions taken"),
    ):
        assert [f"{y:.1f}" for y in lines[label].get_ydata()] == columns[column]
    (bars,) = axis.containers
    middle, _, (spread,) = bars.lines
    assert [f"{y:.1f}" for y in middle.get_ydata()] == columns["distilled"]
    ends = np.array(spread.get_segments())[:, :, 1]
    assert [f"{y:.1f}" for y in ends[:, 0]] == columns["lowest set"]
    assert [f"{y:.1f}" for y in ends[:, 1]] == columns["highest set"]
