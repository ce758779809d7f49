"""Environments and the rollout engine, on real Procgen."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from d3rlpy.metrics import EnvironmentEvaluator

from d3rlpy_distill import PAPER_SMALL, OfflineDataset
from d3rlpy_distill.data.training_set import TrainingSet
from d3rlpy_distill.policies import RandomPolicy, sample_actions
from d3rlpy_distill.students.paper import PaperStudent
from procgen_datasets import (
    ALL_LEVELS,
    GAMES,
    N_ACTIONS,
    TRAIN_LEVELS,
    Levels,
    ProcgenGymnasiumEnv,
    ProcgenPlayer,
    ProcgenVecEnv,
    load_expert,
    rollout,
)
from procgen_datasets.rollout import RolloutEpisode, slot_quotas

RANDOM = RandomPolicy(N_ACTIONS)


class Constant:
    """Takes one action, whatever it sees."""

    def __init__(self, action: int) -> None:
        self.action = action

    def logits(self, observations: torch.Tensor) -> torch.Tensor:
        logits = torch.full((len(observations), 15), -30.0)
        logits[:, self.action] = 0.0
        return logits


@pytest.mark.parametrize("game", GAMES)
def test_every_game_steps_with_channel_first_frames(game: str) -> None:
    env = ProcgenVecEnv(game, 2, levels=Levels(7, 3), rand_seed=0)
    frames = env.reset()
    assert frames.shape == (2, 3, 64, 64) and frames.dtype == np.uint8
    step = env.step(np.array([4, 7]))
    assert step.observations.shape == (2, 3, 64, 64) and step.rewards.dtype == np.float32
    assert all(seed in Levels(7, 3) for seed in env.level_seeds())


@pytest.mark.parametrize("game", GAMES)
def test_half_of_the_slots_go_on_as_they_would_have(game: str, rng: np.random.Generator) -> None:
    env = ProcgenVecEnv(game, 4, levels=TRAIN_LEVELS, rand_seed=3)
    for _ in range(40):
        before = env.step(rng.integers(15, size=4))
    half, kept = env.half(), [3, 1]
    assert half is env.half() and half.num_envs == 2
    states = env.state()
    np.testing.assert_array_equal(half.restore([states[i] for i in kept]), before.observations[kept])
    for _ in range(120):
        actions = rng.integers(15, size=4)
        whole, part = env.step(actions), half.step(actions[kept])
        np.testing.assert_array_equal(part.rewards, whole.rewards[kept])
        np.testing.assert_array_equal(part.first, whole.first[kept])
        np.testing.assert_array_equal(part.observations, whole.observations[kept])


@pytest.mark.parametrize("game", ["starpilot", "bigfish"])
def test_smaller_batches_for_the_last_episodes_change_nothing(game: str, monkeypatch: pytest.MonkeyPatch) -> None:
    env = ProcgenVecEnv(game, 6, levels=TRAIN_LEVELS, rand_seed=5, copies=2)

    def play(fewest: int) -> list[RolloutEpisode]:
        monkeypatch.setattr(importlib.import_module("procgen_datasets.rollout"), "FEWEST", fewest)
        return list(rollout(env, [RANDOM, Constant(7)], 8, greedy=False, seed=1, record=True))

    whole, sizes = play(13), []
    monkeypatch.setattr(ProcgenVecEnv, "half", _noting(ProcgenVecEnv.half, sizes))
    halved = play(1)
    assert sizes == [6, 3, 1]
    for one, other in zip(whole, halved, strict=True):
        assert dataclasses.replace(one, steps=None) == dataclasses.replace(other, steps=None)
        assert one.steps is not None and other.steps is not None
        for mine, theirs in zip(one.steps, other.steps, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def _noting(half: Callable[[ProcgenVecEnv], ProcgenVecEnv], sizes: list[int]) -> Callable[..., ProcgenVecEnv]:
    def noted(env: ProcgenVecEnv) -> ProcgenVecEnv:
        smaller = half(env)
        sizes.append(smaller.num_envs)
        return smaller

    return noted


def test_reset_and_copies_play_the_same_levels() -> None:
    env = ProcgenVecEnv("starpilot", 3, levels=TRAIN_LEVELS, rand_seed=5, copies=2)
    policies = [RANDOM, Constant(7)]
    first = list(rollout(env, policies, 7, greedy=False, seed=1))
    again = list(rollout(env, policies, 7, greedy=False, seed=1))
    assert first == again
    levels = [
        sorted((e.slot, e.index, e.level_seed) for e in first if e.policy == p) for p in range(len(policies))
    ]
    assert levels[0] == levels[1] and len(levels[0]) == 7
    alone = ProcgenVecEnv("starpilot", 3, levels=TRAIN_LEVELS, rand_seed=5)
    mine = list(rollout(alone, [RANDOM], 7, greedy=False, seed=1))
    assert mine == [e for e in first if e.policy == 0]


def test_threads_do_not_change_results() -> None:
    def play(threads: int) -> list[object]:
        env = ProcgenVecEnv("bigfish", 4, levels=TRAIN_LEVELS, rand_seed=1, num_threads=threads)
        return list(rollout(env, [RANDOM], 8, greedy=False, seed=2))

    assert play(1) == play(2)


def test_recorded_steps_equal_a_plain_loop() -> None:
    """Frames, actions and rewards are those of one environment stepped by hand, to the last."""
    env = ProcgenVecEnv("jumper", 1, levels=TRAIN_LEVELS, rand_seed=2)
    episodes = list(rollout(env, [RANDOM], 3, greedy=False, seed=4, record=True))
    frames = env.reset()
    for episode in episodes:
        assert episode.steps is not None and episode.length == len(episode.steps.actions)
        for t, action in enumerate(episode.steps.actions):
            np.testing.assert_array_equal(frames[0], episode.steps.observations[t])
            step = env.step(np.array([action]))
            assert step.rewards[0] == episode.steps.rewards[t]
            assert bool(step.first[0]) == (t == episode.length - 1)
            frames = step.observations
        assert episode.episode_return == pytest.approx(episode.steps.rewards.sum())


def test_timeouts_are_told_from_terminals() -> None:
    env = ProcgenVecEnv("maze", 2, levels=Levels(0, 2), rand_seed=0)
    episodes = list(rollout(env, [Constant(4)], 2, greedy=True, seed=0))
    assert [(e.length, e.timeout, e.level_complete) for e in episodes] == [(500, True, False)] * 2


def test_one_step_levels_of_jumper_are_kept() -> None:
    """About 7% of jumper's levels end in one step, level 37 among them, whatever is done."""
    env = ProcgenVecEnv("jumper", 4, levels=Levels(36, 2), rand_seed=0)
    episodes = list(rollout(env, [RANDOM], 12, greedy=False, seed=0, record=True))
    assert len(episodes) == 12 and {e.level_seed for e in episodes} == {36, 37}
    for episode in episodes:
        assert (episode.length == 1) == (episode.level_seed == 37) and not episode.timeout
        assert episode.steps is not None and len(episode.steps.observations) == episode.length


def test_quota_counts_the_first_episodes_of_every_slot() -> None:
    assert slot_quotas(7, 3).tolist() == [3, 2, 2]
    env = ProcgenVecEnv("starpilot", 3, levels=TRAIN_LEVELS, rand_seed=0)
    played = [(e.slot, e.index) for e in rollout(env, [RANDOM], 7, greedy=False, seed=0)]
    assert sorted(played) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0), (2, 1)]


def test_actions_are_sampled_from_the_probabilities() -> None:
    rng = np.random.default_rng(0)
    p = np.array([[0.5, 0.0, 0.25, 0.25]], np.float32).repeat(20_000, 0)
    frequency = np.bincount(sample_actions(p, rng.random(20_000)), minlength=4) / 20_000
    np.testing.assert_allclose(frequency, p[0], atol=0.015)
    assert frequency[1] == 0
    assert sample_actions(p[:1], np.array([1 - 1e-16]))[0] == 3


def test_the_bundled_expert_gives_its_recorded_outputs() -> None:
    check = np.load(Path(__file__).parent / "data" / "check_starpilot.npz")
    expert = load_expert("starpilot@1", dtype=torch.float32)
    torch.testing.assert_close(
        expert.logits(torch.from_numpy(check["obs"])), torch.from_numpy(check["logits"]), atol=1e-4, rtol=1e-4
    )
    value = expert.network.policy_and_value(torch.from_numpy(check["obs"]).float() / 255)[1]
    torch.testing.assert_close(value, torch.from_numpy(check["value"]), atol=1e-4, rtol=1e-4)
    learner = expert.as_learner()
    assert learner.predict(check["obs"]).tolist() == check["logits"].argmax(1).tolist()


def test_gymnasium_env_and_d3rlpy_evaluator(starpilot_dataset: OfflineDataset) -> None:
    env = ProcgenGymnasiumEnv("starpilot", levels=ALL_LEVELS, rand_seed=1)
    obs, info = env.reset(seed=1)
    assert env.observation_space.contains(obs) and "level_seed" in info
    done = False
    while not done:
        obs, _, terminated, truncated, info = env.step(4)
        done = terminated or truncated
    assert terminated and not truncated
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(4)
    student, data = PaperStudent(), TrainingSet(starpilot_dataset.transitions)
    learner = student.fit(student.learner(starpilot_dataset, PAPER_SMALL), data, 1, seed=0)
    assert np.isfinite(EnvironmentEvaluator(env, n_trials=2)(learner, starpilot_dataset.buffer))


def test_reset_in_mid_episode_starts_the_next_level() -> None:
    env = ProcgenGymnasiumEnv("bigfish", levels=TRAIN_LEVELS, rand_seed=3)
    env.reset()
    first, _, *_ = env.step(4)
    second, _ = env.reset()
    assert not np.array_equal(first, second)


def test_player_gives_every_policy_the_same_levels_and_own_draws() -> None:
    player = ProcgenPlayer("starpilot", {"id": TRAIN_LEVELS}, 5, seed=0)
    both = player.play([RANDOM, RANDOM], split="id", mode="sampled")
    assert both.shape == (2, 5)
    alone = player.play([RANDOM], split="id", mode="sampled")
    np.testing.assert_array_equal(both[0], alone[0])
    with pytest.raises(ValueError, match="expected one of id"):
        player.play([RANDOM], split="ood", mode="sampled")
