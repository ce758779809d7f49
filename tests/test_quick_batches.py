"""Batches drawn by indexing: the same as d3rlpy's own, drawn from the same random numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from d3rlpy.algos import CQLConfig, DQNConfig, TD3PlusBCConfig
from d3rlpy.dataset import Episode, FIFOBuffer, FrameStackTransitionPicker, InfiniteBuffer, ReplayBuffer
from d3rlpy.logging import NoopAdapterFactory

from d3rlpy_distill.learners.quick_batches import QuickBuffer, quick_batches
from d3rlpy_distill.learners.stock import fit_stock, networks, seeded


def buffer_of(*, discrete: bool = False, picker: FrameStackTransitionPicker | None = None) -> ReplayBuffer:
    rng = np.random.default_rng(3)
    episodes = []
    for length, terminated in ((1, True), (2, False), (7, True), (5, False), (1, True), (9, True)):
        drawn = rng.integers(3, size=(length, 1)), rng.uniform(-1, 1, (length, 2)).astype(np.float32)
        observations = rng.normal(size=(length, 4)).astype(np.float32)
        rewards = rng.normal(size=(length, 1)).astype(np.float32)
        episodes.append(Episode(observations, drawn[0 if discrete else 1], rewards, terminated))
    return ReplayBuffer(InfiniteBuffer(), episodes=episodes, transition_picker=picker)


@pytest.mark.parametrize("discrete", [False, True], ids=["continuous", "discrete"])
def test_it_draws_what_d3rlpy_draws(discrete: bool) -> None:
    stock = buffer_of(discrete=discrete)
    quick = quick_batches(stock)
    assert isinstance(quick, QuickBuffer)
    for size in (1, 64):
        with seeded(5):
            expected = [stock.sample_transition_batch(size) for _ in range(20)]
        with seeded(5):
            drawn = [quick.sample_transition_batch(size) for _ in range(20)]
        for one, other in zip(expected, drawn, strict=True):
            for field in dataclasses.fields(one):
                if field.name != "transitions":
                    ours, theirs = getattr(other, field.name), getattr(one, field.name)
                    assert ours.dtype == theirs.dtype == np.float32
                    np.testing.assert_array_equal(ours, theirs)
            for ours, theirs in zip(other.transitions, one.transitions, strict=True):
                np.testing.assert_array_equal(ours.rewards_to_go, theirs.rewards_to_go)


@pytest.mark.parametrize(
    ("config", "discrete"),
    [(TD3PlusBCConfig(batch_size=8), False), (CQLConfig(batch_size=8), False), (DQNConfig(batch_size=8), True)],
    ids=["td3+bc", "cql", "dqn"],
)
def test_training_comes_out_the_same(config: TD3PlusBCConfig, discrete: bool) -> None:
    stock = buffer_of(discrete=discrete)
    ours = networks(fit_stock(config, stock, (4,), 6, seed=2, device="cpu:0"))
    with seeded(2):
        learner = config.create(device="cpu:0")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            learner.create_impl((4,), stock.dataset_info.action_size)
        learner.fit(
            stock, n_steps=6, n_steps_per_epoch=6, logger_adapter=NoopAdapterFactory(), show_progress=False
        )
    theirs = networks(learner)
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        torch.testing.assert_close(value, theirs[key], rtol=0, atol=0)


def test_other_buffers_are_left_as_they_are() -> None:
    stacked = buffer_of(picker=FrameStackTransitionPicker(n_frames=2))
    assert quick_batches(stacked) is stacked
    limited = ReplayBuffer(FIFOBuffer(10), episodes=buffer_of().episodes)
    assert quick_batches(limited) is limited
    frames = np.zeros((3, 3, 8, 8), np.uint8)
    images = ReplayBuffer(
        InfiniteBuffer(),
        episodes=[Episode(frames, np.zeros((3, 1), np.int64), np.zeros((3, 1), np.float32), True)],
    )
    assert quick_batches(images) is images
