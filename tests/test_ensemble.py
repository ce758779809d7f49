"""Several policies as one: what they decide together, and their rows in a table."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from cartpole import TINY, collect_cartpole
from d3rlpy_distill import distill, evaluate
from d3rlpy_distill.errors import SettingsError
from d3rlpy_distill.evaluation import Results
from d3rlpy_distill.evaluation.ensemble import ensemble
from d3rlpy_distill.pipeline import load


@dataclasses.dataclass(frozen=True)
class Says:
    """Has logits whatever it sees."""

    row: tuple[float, ...]

    def logits(self, observations: torch.Tensor) -> torch.Tensor:
        return torch.tensor(self.row).expand(len(observations), -1)


@dataclasses.dataclass(frozen=True)
class Does:
    """Gives actions that grow with what it sees."""

    gain: float

    def actions(self, observations: torch.Tensor) -> torch.Tensor:
        return self.gain * observations


def test_actions_and_probabilities_are_averaged() -> None:
    observations = torch.randn(4, 2)
    actions = ensemble([Does(1.0), Does(4.0), Does(-2.0)]).actions(observations)  # type: ignore[union-attr]
    torch.testing.assert_close(actions, observations)
    sure, unsure = (50.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    logits = ensemble([Says(sure), Says(unsure)]).logits(observations)  # type: ignore[union-attr]
    expected = torch.tensor([2 / 3, 1 / 6, 1 / 6]).expand(4, -1)
    torch.testing.assert_close(logits.exp(), expected)
    with pytest.raises(SettingsError, match="expected one kind"):
        ensemble([Does(1.0), Says(sure)])


def test_each_arm_has_a_row_of_its_ensemble(tmp_path: Path) -> None:
    """Which of one student is the student itself; students and returns are those of an evaluation without."""
    dataset = load(collect_cartpole(tmp_path / "cart.h5"))
    small = distill(dataset, n_samples=12, steps=1)
    alone = dataclasses.replace(TINY, students=1)

    def run(name: str, ensembles: bool, students: int) -> Results:
        protocol = dataclasses.replace(alone, students=students, ensembles=ensembles)
        return evaluate(
            dataset,
            small,
            protocol=protocol,
            arms=["random-policy", "bc-100", "distilled-12"],
            expert="random",
            splits=["test"],
            out=tmp_path / name,
        )

    one = run("one", True, 1)
    assert one.names() == [
        "random-policy",
        "bc-100",
        "ensemble-of-bc-100",
        "distilled-12",
        "ensemble-of-distilled-12",
    ]
    for entry in one.arms:
        if entry.about.kind == "ensemble":
            assert entry.about.of is not None
            other = one.get(entry.about.of, entry.split, entry.mode)
            assert other is not None and entry.n_students == 1
            np.testing.assert_array_equal(entry.returns, other.returns)
    several, without = run("several", True, 3), run("without", False, 3)
    assert one.protocol["ensembles"] is True and "ensembles" not in without.protocol
    assert {entry.about.kind for entry in without.arms} == {"random-policy", "full", "distilled"}
    for entry in without.arms:
        again = several.get(entry.name, entry.split, entry.mode)
        assert again is not None
        np.testing.assert_array_equal(again.returns, entry.returns)
    joined = several.get("ensemble-of-bc-100", "test", "greedy")
    assert joined is not None and joined.returns.shape == (1, TINY.episodes)
    resumed = run("several", True, 3)
    assert resumed.to_json()["arms"] == several.to_json()["arms"]
