"""Small real data for the tests: Procgen episodes of the bundled expert, and a seeded generator."""

from __future__ import annotations

import json
from pathlib import Path

import gym_notices.notices
import numpy as np
import pytest
import structlog

gym_notices.notices.notices.clear()
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))

import d3rlpy  # noqa: E402
from d3rlpy.dataset import ReplayBuffer  # noqa: E402

from commands import run  # noqa: E402
from procgen_datasets import CollectConfig, collect, load_dataset  # noqa: E402


@pytest.fixture(scope="session")
def starpilot_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six episodes of the bundled starpilot expert."""
    path = tmp_path_factory.mktemp("data") / "starpilot.h5"
    collect(CollectConfig("starpilot", episodes=6, seed=3), path, command="made by the tests")
    return path


@pytest.fixture(scope="session")
def starpilot(starpilot_file: Path) -> ReplayBuffer:
    return load_dataset(starpilot_file)[0]


@pytest.fixture(scope="session")
def distilled_file(starpilot_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty samples of it, as the command distils them, two steps."""
    out = tmp_path_factory.mktemp("distilled") / "starpilot-20.h5"
    result = run("distill", starpilot_file, "--samples", 20, "--steps", 2, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["samples"] == 20 and result.stdout.count("\n") == 1
    return out


@pytest.fixture(autouse=True)
def seeded() -> None:
    """d3rlpy and torch draw from global generators: a test sees the same numbers whatever ran before it."""
    d3rlpy.seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
