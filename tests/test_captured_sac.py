"""SAC whose updates are a CUDA graph: the same updates as stable-baselines3's, its memory, and what it leaves."""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

if importlib.util.find_spec("stable_baselines3") is None:
    pytest.skip("needs stable-baselines3", allow_module_level=True)

from stable_baselines3 import SAC
from stable_baselines3.common.buffers import ReplayBufferSamples
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv

from d3rlpy_distill.data import EpisodeData, OfflineDataset, read_extras, read_info
from d3rlpy_distill.errors import CheckpointError
from d3rlpy_distill.files import load_state
from d3rlpy_distill.tasks import make_task
from d3rlpy_distill.tasks.gymnasium_actor import load_actor, save_actor
from d3rlpy_distill.tasks.gymnasium_replay_data import Memory, replayed_episodes, thinned
from d3rlpy_distill.tasks.gymnasium_sac import CapturedSac
from d3rlpy_distill.tasks.gymnasium_spaces import ActionLayout

ENVS, STEPS, ROUNDS, UPDATES, BATCH = 3, 20, 2, 3, 16


def environments() -> DummyVecEnv:
    return DummyVecEnv([lambda: gymnasium.make("Pendulum-v1") for _ in range(ENVS)])


def filled(model: SAC, rng: np.random.Generator) -> None:
    """Fills a model's memory with noise, some of it episodes' ends and time limits."""
    for _ in range(STEPS):
        done = rng.random(ENVS) < 0.3
        infos: list[dict[str, Any]] = [
            {"TimeLimit.truncated": bool(cut)} for cut in done & (rng.random(ENVS) < 0.5)
        ]
        vectors = [rng.normal(size=(ENVS, 3)).astype(np.float32) for _ in range(2)]
        action, reward = rng.uniform(-1, 1, (ENVS, 1)), rng.normal(size=ENVS)
        assert model.replay_buffer is not None
        model.replay_buffer.add(vectors[0], vectors[1], action, reward, done, infos)


def test_updates_are_those_of_stable_baselines3(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same memory, batches and noise give the same weights, temperature and targets."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    settings: dict[str, Any] = {"seed": 0, "device": device, "learning_rate": 3e-3, "buffer_size": 90}
    ours = CapturedSac("MlpPolicy", environments(), **settings)
    theirs = SAC("MlpPolicy", environments(), **settings)
    theirs.policy.load_state_dict(copy.deepcopy(ours.policy.state_dict()))
    for model in (ours, theirs):
        model.set_logger(Logger(None, []))
        filled(model, np.random.default_rng(0))
    draws = ours.draw(UPDATES, BATCH)
    assert draws.indices.min() >= 0 and draws.indices.max() < STEPS * ENVS and len(draws.indices.unique()) > 30
    monkeypatch.setattr(ours, "draw", lambda updates, batch_size: draws)
    for _ in range(ROUNDS):  # on a GPU, all but the first are a graph
        ours.train(UPDATES, BATCH)
    noise = iter(draws.noise.reshape(UPDATES * 2, BATCH, 1).repeat(ROUNDS, 1, 1))
    batches = iter(np.tile(draws.indices.cpu().numpy(), (ROUNDS, 1)))

    def given(batch_size: int, env: Any = None) -> ReplayBufferSamples:
        rows, env_indices = np.divmod(next(batches), ENVS)
        buffer = theirs.replay_buffer
        assert buffer is not None
        over = buffer.dones * (1 - buffer.timeouts)
        columns = (buffer.observations, buffer.actions, buffer.next_observations, over, buffer.rewards)
        picked = [buffer.to_torch(one[rows, env_indices].reshape(BATCH, -1)) for one in columns]
        return ReplayBufferSamples(*picked)

    monkeypatch.setattr(theirs.replay_buffer, "sample", given)
    monkeypatch.setattr(torch.distributions.normal, "_standard_normal", lambda *_, **__: next(noise))
    theirs.train(ROUNDS * UPDATES, BATCH)
    assert next(noise, None) is None
    before = SAC("MlpPolicy", environments(), **settings).policy.state_dict()
    for name, value in theirs.policy.state_dict().items():
        torch.testing.assert_close(ours.policy.state_dict()[name], value, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(before[name], value, atol=1e-5)
    assert ours.log_ent_coef is not None and theirs.log_ent_coef is not None
    torch.testing.assert_close(ours.log_ent_coef, theirs.log_ent_coef, rtol=1e-4, atol=1e-6)
    assert theirs.log_ent_coef.item() < -0.01


def test_an_actor_file_plays_as_stable_baselines3_does(tmp_path: Path) -> None:
    model = CapturedSac("MlpPolicy", environments(), seed=0, device="cpu", buffer_size=90)
    low, high = np.array([-2.0], np.float32), np.array([2.0], np.float32)
    path = tmp_path / "actor.safetensors"
    save_actor(path, model.actor_weights(critic=True), low, high)
    policy = load_actor(path)
    assert (policy.shape, policy.action_size) == ((3,), 1)
    observations = torch.randn(50, 3)
    played, _ = model.predict(observations.numpy(), deterministic=True)
    np.testing.assert_allclose(policy.actions(observations), played, atol=1e-5)
    noise = torch.randn(50, 1)
    mean, log_std, _ = model.actor.get_action_dist_params(observations)
    expected = 2 * torch.tanh(mean + log_std.exp() * noise)
    torch.testing.assert_close(policy.sampled(observations, noise), expected.detach(), atol=1e-5, rtol=1e-5)
    actions = torch.rand(50, 1) * 4 - 2
    values = torch.cat(model.critic(observations, actions / 2), 1).amin(1)
    torch.testing.assert_close(policy.values(observations, actions), values.detach(), atol=1e-5, rtol=1e-5)
    save_actor(tmp_path / "plain.safetensors", model.actor_weights(), low, high)
    with pytest.raises(CheckpointError, match="holds no critics"):
        load_actor(tmp_path / "plain.safetensors").values(observations, actions)
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(CheckpointError, match="is damaged: copy or make it again"):
        load_actor(path)


def test_episodes_of_a_memory() -> None:
    """Two environments: an end, a limit, a stopped run, an episode that was going on, a single step that was cut."""
    observations = np.arange(12, dtype=np.float32).reshape(6, 2, 1)
    following = np.roll(observations, -1, axis=0)
    dones, timeouts = np.zeros((6, 2), np.float32), np.zeros((6, 2), np.float32)
    dones[1, 0] = 1  # steps 0 and 1 of the first environment end
    dones[4, 0] = timeouts[4, 0] = 1  # steps 2 to 4 are cut; step 5 goes on alone
    following[2, 1] += 100  # a run stopped in the second one
    actions = np.linspace(-1, 1, 12, dtype=np.float32).reshape(6, 2, 1)
    memory = Memory(observations, following, actions, observations[..., 0], dones, timeouts)
    layout = ActionLayout(gymnasium.spaces.Box(-2, 4, (1,)), 1)
    played = list(replayed_episodes(memory, layout))
    assert [one.observations[:, 0].tolist() for one in played] == [[0, 2], [1, 3, 5], [4, 6, 8], [7, 9, 11]]
    assert [one.terminated for one in played] == [True, False, False, False]
    np.testing.assert_allclose(played[0].actions[:, 0], 1 + 3 * actions[:2, 0, 0], atol=1e-6)
    assert played[0].actions[0] == -2 and played[3].actions[-1] == 4
    assert played[1].info == {"return": 9.0, "length": 3, "timeout": True}
    assert played[1].steps["return_to_go"].tolist() == [9, 8, 5]
    assert len(memory.first(3).rewards) == 2 and len(memory.first(100).rewards) == 6


def test_thinned_episodes_are_spread_over_all() -> None:
    lengths = [5, 30, 1, 12, 7, 40, 3, 9, 21, 2, 18, 6]
    episodes = [
        EpisodeData(np.zeros((n, 1), np.float32), np.zeros((n, 1), np.float32), np.full(n, i, np.float32), True)
        for i, n in enumerate(lengths)
    ]
    assert [len(one.rewards) for one in thinned(episodes, 1.0)] == lengths
    for share in (0.05, 0.3, 0.5, 0.9):
        kept = list(thinned(episodes, share))
        steps = sum(len(one.rewards) for one in kept)
        assert share * sum(lengths) <= steps <= share * sum(lengths) + max(lengths)
        order = [int(one.rewards[0]) for one in kept]
        assert order == sorted(set(order))
    halves = [int(one.rewards[0]) for one in thinned(episodes[:1] * 10, 0.5)]
    assert len(halves) == 5


def test_snapshots_a_medium_policy_and_the_replay(tmp_path: Path) -> None:
    task = make_task("gym/Pendulum-v1")
    given: dict[str, Any] = {"envs": 4, "gradient_steps": 1, "batch_size": 32, "snapshot_every": 100}
    settings = task.train_settings()(steps=820, learning_starts=200, **given)
    first = task.train_settings()(steps=420, learning_starts=200, **given)
    task.train_expert(first, tmp_path, card_episodes=1)
    (tmp_path / "curve.csv").write_text("steps\nnonsense")  # for people: nothing goes on from it
    (policy, medium), finished = task.train_expert(settings, tmp_path, resume=True, card_episodes=2)
    assert finished and policy.path == tmp_path / "policy.safetensors"
    rows = (tmp_path / "curve.csv").read_text().splitlines()[1:]
    returns = {int(row.split(",")[0]): float(row.split(",")[2]) for row in rows}
    assert list(returns) == [100, 200, 300, 400, 500, 600, 700, 800]
    arguments: dict[str, Any] = {"mode": "greedy", "episodes": 10, "seed": 0}
    ends = [
        task.play([one], split="validation", **arguments).mean()
        for one in (task.random_policy(), load_actor(policy.path))
    ]
    # the policy is the best of the snapshots, or the last one if that returns more
    steps = max(returns, key=lambda one: returns[one])
    if policy.steps == 820:
        assert ends[1] >= returns[steps]
    else:
        assert policy.steps == steps and ends[1] == returns[steps]
        assert policy.path.read_bytes() == (tmp_path / "snapshots" / f"{steps:09d}.safetensors").read_bytes()
    assert json.loads(policy.path.with_suffix(".json").read_text())["trained_steps"] == 820
    target = ends[0] + (ends[1] - ends[0]) / 3
    assert medium.steps == min(returns, key=lambda steps: abs(returns[steps] - target))
    snapshot = tmp_path / "snapshots" / f"{medium.steps:09d}.safetensors"
    assert medium.path.read_bytes() == snapshot.read_bytes()
    loaded = task.load_policy(str(medium.path))
    card = json.loads(medium.path.with_suffix(".json").read_text())
    assert card["sha256"] == loaded.sha256 and card["environment_steps"] == medium.steps
    again = task.play([loaded.policy], split="test", mode="greedy", episodes=2, seed=0)
    assert card["returns"]["test"]["greedy"]["mean"] == again.mean() == medium.returns["test"]

    replay = load_state(tmp_path / "checkpoint.pt")["replay"]
    path = tmp_path / "medium-replay.h5"
    dataset, info = OfflineDataset.load(path), read_info(path)
    assert dataset.task == "gym/Pendulum-v1" and info.num_transitions == 820
    assert len(dataset) == 820 - 8  # the last step of an episode that was cut is no transition
    # 105 steps of each environment before the pause, then 100
    assert sorted(read_extras(path, "episodes")["length"].tolist()) == [100] * 4 + [105] * 4
    episode = dataset.buffer.episodes[0]
    np.testing.assert_array_equal(episode.observations, replay["observations"][:105, 0])
    np.testing.assert_allclose(episode.actions, 2 * replay["actions"][:105, 0], atol=1e-6)
