"""SAC whose updates are a CUDA graph: the same updates as stable-baselines3's, its memory, and what it leaves."""

from __future__ import annotations

import copy
import importlib.util
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

from d3rlpy_distill.tasks.gymnasium_sac import CapturedSac

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
