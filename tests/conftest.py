"""Small real data for the tests: Procgen episodes of the bundled expert, and a seeded generator.

The files are made once, by whichever worker of pytest-xdist needs them first, and every worker has a copy.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from collections.abc import Callable
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


def made_once(name: str, factory: pytest.TempPathFactory, make: Callable[[Path], object]) -> Path:
    """Returns a copy of a file that one worker makes, while the others wait."""
    directory = factory.getbasetemp().parent if WORKER else factory.getbasetemp()
    original = directory / "made" / name
    original.parent.mkdir(exist_ok=True)
    with original.with_suffix(".waiting").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not original.exists():
            make(original)
    return Path(shutil.copy(original, factory.mktemp("data") / name))


@pytest.fixture(scope="session")
def starpilot_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six episodes of the bundled starpilot expert."""
    config = CollectConfig("starpilot", expert="starpilot@1", episodes=6, seed=3)
    return made_once(
        "starpilot.h5", tmp_path_factory, lambda path: collect(config, path, command="made by the tests")
    )


@pytest.fixture(scope="session")
def starpilot_dataset(starpilot_file: Path) -> OfflineDataset:
    return load(starpilot_file)


@pytest.fixture(scope="session")
def starpilot(starpilot_dataset: OfflineDataset) -> ReplayBufferBase:
    return starpilot_dataset.buffer


@pytest.fixture(scope="session")
def distilled_file(starpilot_dataset: OfflineDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty samples of it, two steps, seed 0: what 'rld-distill distill --samples 20 --steps 2' makes."""

    def make(path: Path) -> None:
        distill_to_file(starpilot_dataset, path, n_samples=20, steps=2, command="made by the tests")

    return made_once("starpilot-20.h5", tmp_path_factory, make)


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
