"""A task that is not Procgen, end to end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from test_readme import ROOT, load_script


@pytest.mark.slow
def test_ten_samples_train_cartpole(tmp_path: Path) -> None:
    """Train a policy, collect, distil to 10 transitions; students keep 90% of the full data's return."""
    record = load_script("gymnasium_tasks").main(
        ["CartPole-v1", "--samples", "10", "--steps", "2000", "--distance", "cosine", "--out", str(tmp_path)]
    )
    full, random, distilled = (np.mean(record["returns"][name]) for name in ("full", "random", "distilled"))
    assert full > 400
    assert distilled >= 0.9 * full and random < 0.9 * full


def test_published_tasks_have_ten_students_each() -> None:
    paths = sorted((ROOT / "benchmarks" / "results" / "tasks").glob("*.json"))
    assert paths
    for path in paths:
        record = json.loads(path.read_text())
        assert set(record["returns"]) == {"full", "random", "distilled"}
        assert all(len(values) == 10 for values in record["returns"].values())
        assert record["task"] in record["command"] and path.stem.startswith(record["task"])
