"""Datasets that bundled policies of gymnasium tasks play."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from d3rlpy_distill.data import OfflineDataset
from d3rlpy_distill.errors import DistillError, OutputExistsError
from d3rlpy_distill.files import read_document
from d3rlpy_distill.tasks import CollectSettings, gymnasium_bundled, gymnasium_recipes, make_task
from d3rlpy_distill.tasks.gymnasium_actor import load_actor, save_actor
from d3rlpy_distill.tasks.gymnasium_policies import file_sha256

PENDULUM = "Pendulum-v1"
RECIPES = gymnasium_recipes._recipes("pendulum", PENDULUM, expert=3, medium=2)


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of bundled policies with two random actors."""
    directory = tmp_path / "bundled"
    directory.mkdir()
    generator = torch.Generator().manual_seed(0)
    for name in ("expert", "medium"):
        shapes = {
            "latent_pi.0.weight": (8, 3), "latent_pi.0.bias": (8,), "mu.weight": (1, 8), "mu.bias": (1,),
            "log_std.weight": (1, 8), "log_std.bias": (1,),
        }  # fmt: skip
        weights = {key: 0.3 * torch.randn(shape, generator=generator) for key, shape in shapes.items()}
        path = directory / f"{PENDULUM}-{name}.safetensors"
        save_actor(path, weights, np.array([-2], np.float32), np.array([2], np.float32))
    for module in (gymnasium_bundled, gymnasium_recipes):
        monkeypatch.setattr(module, "bundled_file", lambda name: directory / name)
    monkeypatch.setattr(gymnasium_recipes, "RECIPES", RECIPES)
    return directory


def test_a_bundled_expert_is_what_collect_plays(bundled: Path, tmp_path: Path) -> None:
    task = make_task(f"gym/{PENDULUM}")
    assert task.default_policy == "expert" and make_task("gym/CartPole-v1").default_policy is None
    task.collect(CollectSettings(episodes=2), tmp_path / "drawn.h5")
    task.collect(CollectSettings(episodes=2, policy="expert", greedy=True), tmp_path / "mean.h5")
    drawn, mean = (OfflineDataset.load(tmp_path / name) for name in ("drawn.h5", "mean.h5"))
    policy = load_actor(bundled / f"{PENDULUM}-expert.safetensors")
    for dataset, said in ((drawn, "sampled"), (mean, "greedy")):
        assert dataset.provenance is not None
        settings = dataset.provenance.settings
        assert (settings["policy"], settings["actions"]) == ("expert", said)
        assert task.expert_name(settings) == "expert"
    episode, start = drawn.buffer.episodes[0], 0
    rng = np.random.default_rng(np.random.SeedSequence((0, start), spawn_key=(0,)))  # a stream for each episode
    noise = torch.from_numpy(rng.standard_normal((200, 1)).astype(np.float32))
    expected = policy.sampled(torch.from_numpy(episode.observations), noise)
    np.testing.assert_allclose(episode.actions, expected, atol=1e-4)
    assert np.abs(episode.actions - policy.actions(torch.from_numpy(episode.observations)).numpy()).mean() > 0.1
    means = policy.actions(torch.from_numpy(mean.transitions.observations)).numpy()
    np.testing.assert_allclose(mean.transitions.actions, means, atol=1e-5)


def test_recipes_are_made_once(bundled: Path, tmp_path: Path) -> None:
    make = gymnasium_recipes.make_recipe
    path = make("pendulum-medium-expert", tmp_path)
    dataset = OfflineDataset.load(path)
    assert dataset.task == f"gym/{PENDULUM}" and len(dataset.buffer.episodes) == 4  # two of each
    assert (
        dataset.provenance is not None and dataset.provenance.settings["policy"] == "expert"
    )  # a table's ceiling
    expert = OfflineDataset.load(tmp_path / "pendulum-expert.h5")
    assert len(expert.buffer.episodes) == 3
    before = path.stat().st_mtime_ns
    assert make("pendulum-medium-expert", tmp_path).stat().st_mtime_ns == before
    with pytest.raises(DistillError, match="train-expert gym/Pendulum-v1' leaves one of its own"):
        make("pendulum-medium-replay", tmp_path)
    (bundled / f"{PENDULUM}-medium-replay.h5").write_bytes((tmp_path / "pendulum-medium.h5").read_bytes())
    assert make("pendulum-medium-replay", tmp_path) == make("pendulum-medium-replay", tmp_path)
    (tmp_path / "pendulum-medium-replay.h5").write_bytes((tmp_path / "pendulum-expert.h5").read_bytes())
    with pytest.raises(OutputExistsError, match="is not the pendulum-medium-replay of this version"):
        make("pendulum-medium-replay", tmp_path)


@pytest.mark.parametrize("env_id", ["HalfCheetah-v5", "Hopper-v5", "Walker2d-v5"])
def test_what_is_bundled_is_whole(env_id: str) -> None:
    """Policies and their cards, values, and what was played on the way; MuJoCo is needed to play alone."""
    path = gymnasium_bundled.bundled_file(f"{env_id}-medium-replay.h5")
    dataset = OfflineDataset.load(path)
    assert dataset.task == f"gym/{env_id}" and len(dataset) >= 100_000
    observations = torch.from_numpy(dataset.transitions.observations[::1000])
    returns = {}
    for name, policy_path in gymnasium_bundled.bundled_policies(env_id).items():
        policy, card = load_actor(policy_path), read_document(policy_path.with_suffix(".json"))
        assert card["sha256"] == file_sha256(policy_path) and card["task"] == f"gym/{env_id}"
        actions = policy.actions(observations)
        assert actions.shape == (len(observations), dataset.action_size) and actions.abs().max() <= 1
        returns[name] = card["returns"]["test"]["greedy"]["mean"]
        if name == "expert":
            assert torch.isfinite(policy.values(observations, actions)).all()
    assert returns["expert"] > 2 * returns["medium"] > 0


def test_a_bundled_policy_plays_as_its_card_says() -> None:
    pytest.importorskip(
        "mujoco", reason="the extra 'mujoco' is not installed: pip install 'd3rlpy-distill[mujoco]'"
    )
    task = make_task("gym/Hopper-v5")
    loaded = task.load_policy("expert")
    returns = task.play([loaded.policy], split="test", mode="greedy", episodes=3, seed=0)
    assert returns.mean() == pytest.approx(3178, rel=0.1)
