"""A synthetic file in the hands of stock d3rlpy: every discrete algorithm trains on it, saves, loads and acts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from d3rlpy_distill import GradientMatchingConfig, TransitionArrays, paper_student
from d3rlpy_distill.presets import PAPER_SYNTHETIC
from procgen_datasets import load_dataset
from procgen_datasets.hdf5 import EpisodeData, EpisodeWriter, Provenance

CODE = """
import pathlib, sys
import numpy as np, structlog
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
import d3rlpy
from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer
from d3rlpy.dataset.io import load
from d3rlpy.logging import NoopAdapterFactory
name, path, out = sys.argv[1:]
with open(path, "rb") as file:
    dataset = ReplayBuffer(InfiniteBuffer(), episodes=load(Episode, file), action_size=15)
common = dict(batch_size=8, observation_scaler=d3rlpy.preprocessing.PixelObservationScaler())
config = getattr(d3rlpy.algos, name + "Config")
transformer = name == "DiscreteDecisionTransformer"
if transformer:
    common.update(context_size=1, num_heads=2, num_layers=1)
algo = config(**common).create(device="cpu:0")
fit = dict(n_steps=4, n_steps_per_epoch=2, logger_adapter=NoopAdapterFactory(), show_progress=False)
algo.fit(dataset, **fit)
frames = np.concatenate([episode.observations for episode in dataset.episodes])
def act(learned):
    if transformer:
        actor = learned.as_stateful_wrapper(target_return=10.0)
        return np.array([actor.predict(frames[0], 0.0), actor.predict(frames[1], 1.0)])
    return learned.predict(frames)
algo.save(out)
loaded = d3rlpy.load_learnable(out)
first = act(algo)
assert all(0 <= action < 15 for action in first), first
if not transformer:  # which samples its actions
    np.testing.assert_array_equal(first, act(loaded))
else:
    act(loaded)
assert not any(m.split(".")[0] in ("d3rlpy_distill", "procgen_datasets", "rld_distill") for m in sys.modules)
print("acted", len(first))
"""

ALGORITHMS = (
    "DiscreteBC",
    "DQN",
    "DoubleDQN",
    "NFQ",
    "DiscreteCQL",
    "DiscreteBCQ",
    "DiscreteSAC",
    "DiscreteDecisionTransformer",
)


@pytest.fixture(scope="module")
def synthetic_file(starpilot_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = GradientMatchingConfig(learner=paper_student(PAPER_SYNTHETIC), n_samples=20)
    samples = TransitionArrays.from_buffer(config.create().fit(load_dataset(starpilot_file)[0], 1))
    path = tmp_path_factory.mktemp("synthetic") / "synthetic.h5"
    with EpisodeWriter(path, Provenance("distilled", "starpilot", 15, "test", {})) as writer:
        for i in range(len(samples)):
            row = slice(i, i + 1)
            writer.write(
                EpisodeData(samples.observations[row], samples.actions[row], samples.rewards[row], terminated=True)
            )
    return path


@pytest.mark.parametrize("name", ALGORITHMS)
def test_stock_d3rlpy_trains_saves_loads_and_acts(name: str, synthetic_file: Path, tmp_path: Path) -> None:
    """In a process of its own, with no import of ours."""
    command = [sys.executable, "-c", CODE, name, str(synthetic_file), str(tmp_path / "x.d3")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().startswith("acted")
