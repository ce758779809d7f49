"""A distilled file in the hands of stock d3rlpy: every discrete algorithm trains on it, saves, loads and acts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import json, sys, traceback
import numpy as np, structlog
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
import d3rlpy
from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer
from d3rlpy.dataset.io import load
from d3rlpy.logging import NoopAdapterFactory
path, directory, *names = sys.argv[1:]
with open(path, "rb") as file:
    dataset = ReplayBuffer(InfiniteBuffer(), episodes=load(Episode, file), action_size=15)
frames = np.concatenate([episode.observations for episode in dataset.episodes])
fit = dict(n_steps=4, n_steps_per_epoch=2, logger_adapter=NoopAdapterFactory(), show_progress=False)

def train(name):
    common = dict(batch_size=8, observation_scaler=d3rlpy.preprocessing.PixelObservationScaler())
    transformer = name == "DiscreteDecisionTransformer"
    if transformer:
        common.update(context_size=1, num_heads=2, num_layers=1)
    algo = getattr(d3rlpy.algos, name + "Config")(**common).create(device="cpu:0")
    losses = [metrics for _, metrics in algo.fit(dataset, **fit) or ()]  # the transformer's returns none
    assert len(losses) == (0 if transformer else 2)
    assert all(np.isfinite(value) for one in losses for value in one.values()), losses
    out = f"{directory}/{name}.d3"
    algo.save(out)
    loaded = d3rlpy.load_learnable(out)
    assert type(loaded) is type(algo)

    def act(learned):
        if transformer:
            actor = learned.as_stateful_wrapper(target_return=10.0)
            return np.array([actor.predict(frames[0], 0.0), actor.predict(frames[1], 1.0)])
        return learned.predict(frames)

    first, again = act(algo), act(loaded)
    assert all(0 <= action < 15 for action in first), first
    if not transformer:  # which samples its actions
        np.testing.assert_array_equal(first, again)
    return len(first)

results = {}
for name in names:
    try:
        results[name] = train(name)
    except Exception:
        results[name] = traceback.format_exc()
ours = [m for m in sys.modules if m.split(".")[0] in ("d3rlpy_distill", "procgen_datasets", "rld_distill")]
print(json.dumps({"ours": ours, "results": results}))
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
def acted(distilled_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int | str]:
    """How often each algorithm acted, or what went wrong; in one process, with no import of ours."""
    directory = tmp_path_factory.mktemp("algorithms")
    command = [sys.executable, "-c", CODE, str(distilled_file), str(directory), *ALGORITHMS]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=directory)
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout.splitlines()[-1])
    assert said["ours"] == []
    results: dict[str, int | str] = said["results"]
    return results


@pytest.mark.parametrize("name", ALGORITHMS)
def test_stock_d3rlpy_trains_saves_loads_and_acts(name: str, acted: dict[str, int | str]) -> None:
    assert acted[name] == (2 if name == "DiscreteDecisionTransformer" else 20), acted[name]


def test_these_are_all_of_d3rlpys_discrete_algorithms() -> None:
    import d3rlpy.algos
    from d3rlpy.base import LearnableConfig
    from d3rlpy.constants import ActionSpace

    configs = [value for value in vars(d3rlpy.algos).values() if isinstance(value, type)]
    found = set()
    for config in configs:
        if (
            issubclass(config, LearnableConfig)
            and config is not LearnableConfig
            and config.__name__.endswith("Config")
        ):
            try:
                learner = config().create(device="cpu:0")
            except (NotImplementedError, TypeError, AssertionError):
                continue  # abstract
            if learner.get_action_type() in (ActionSpace.DISCRETE, ActionSpace.BOTH):
                found.add(config.__name__.removesuffix("Config"))
    assert found - {"DiscreteRandomPolicy"} == set(ALGORITHMS)  # which learns nothing
