"""Small real data for the tests: Procgen episodes of the bundled expert, and a seeded generator.

Session fixtures are made once per worker of pytest-xdist: a second or two each.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

# before torch: one core a worker, for two workers with two threads each wait for one another all the time
os.environ.setdefault("OMP_NUM_THREADS", "1")

import gym_notices.notices
import numpy as np
import pytest
import structlog

# a shell that runs the tests in the background ignores Ctrl-C for them, and every process that they start would, too
signal.signal(signal.SIGINT, signal.default_int_handler)

# one core for each worker of pytest-xdist: a command that a test starts would else begin a pool of processes
WORKER = os.environ.get("PYTEST_XDIST_WORKER")
if WORKER is not None and hasattr(os, "sched_setaffinity"):
    CORES = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {CORES[int(WORKER.removeprefix("gw")) % len(CORES)]})

gym_notices.notices.notices.clear()
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))

import d3rlpy  # noqa: E402
from d3rlpy.dataset import ReplayBufferBase  # noqa: E402

from cartpole import collect_cartpole  # noqa: E402
from d3rlpy_distill import OfflineDataset  # noqa: E402
from d3rlpy_distill.pipeline import distill_to_file, load  # noqa: E402
from procgen_datasets import CollectConfig, collect  # noqa: E402


@pytest.fixture(scope="session")
def starpilot_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six episodes of the bundled starpilot expert."""
    path = tmp_path_factory.mktemp("data") / "starpilot.h5"
    collect(
        CollectConfig("starpilot", expert="starpilot@1", episodes=6, seed=3), path, command="made by the tests"
    )
    return path


@pytest.fixture(scope="session")
def starpilot_dataset(starpilot_file: Path) -> OfflineDataset:
    return load(starpilot_file)


@pytest.fixture(scope="session")
def starpilot(starpilot_dataset: OfflineDataset) -> ReplayBufferBase:
    return starpilot_dataset.buffer


@pytest.fixture(scope="session")
def distilled_file(starpilot_dataset: OfflineDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty samples of it, two steps, seed 0: what 'rld-distill distill --samples 20 --steps 2' makes."""
    out = tmp_path_factory.mktemp("distilled") / "starpilot-20.h5"
    distill_to_file(starpilot_dataset, out, n_samples=20, steps=2, command="made by the tests")
    return out


@pytest.fixture(autouse=True)
def seeded() -> None:
    """d3rlpy and torch draw from global generators: a test sees the same numbers whatever ran before it."""
    d3rlpy.seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def cartpole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten episodes of random play, in a directory of the module's own."""
    return collect_cartpole(tmp_path_factory.mktemp("cartpole") / "cart.h5")


@pytest.fixture(scope="module")
def small(cartpole: Path) -> Path:
    """Five random samples of it."""
    out = cartpole.with_name("cart-5.h5")
    distill_to_file(load(cartpole), out, "random", n_samples=5)
    return out
