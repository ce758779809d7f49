"""Distilling the best episodes only: as if the dataset had no others, and with indices into the whole of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from d3rlpy.algos import DiscreteBCConfig
from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer
from d3rlpy.models import VectorEncoderFactory

from buffers import distil
from d3rlpy_distill import (
    GradientMatchingConfig,
    LabelDistillationConfig,
    OfflineDataset,
    TransitionArrays,
    UnrolledMatchingConfig,
)
from d3rlpy_distill.data.percentile import best_episodes
from d3rlpy_distill.errors import SettingsError, UnsuitableDatasetError
from d3rlpy_distill.methods import LearnedMethod

LEARNER = DiscreteBCConfig(batch_size=16, beta=0.0, encoder_factory=VectorEncoderFactory(hidden_units=[8]))
RETURNS = [3.0, -1.0, 8.0, 3.0, 0.0, 7.0]
PERCENT = 50


@pytest.fixture
def mixed() -> ReplayBuffer:
    """Six episodes of 20 to 25 steps, every other one timed out."""
    rng = np.random.default_rng(1)
    episodes = []
    for i, value in enumerate(RETURNS):
        rewards = np.zeros((20 + i, 1), np.float32)
        rewards[0] = value
        episodes.append(
            Episode(
                rng.random((20 + i, 5), dtype=np.float32),
                rng.integers(0, 4, (20 + i, 1)).astype(np.int32),
                rewards,
                i % 2 == 0,
            )
        )
    return ReplayBuffer(InfiniteBuffer(), episodes=episodes, action_size=4)


def test_transitions_of_some_episodes_are_those_of_a_buffer_that_holds_only_them(mixed: ReplayBuffer) -> None:
    chosen = np.array([1, 2, 5])
    everything = TransitionArrays.from_buffer(mixed)
    part = everything.whole_episodes(np.isin(everything.episodes, chosen))
    only = ReplayBuffer(InfiniteBuffer(), episodes=[mixed.episodes[i] for i in chosen], action_size=4)
    wanted = TransitionArrays.from_buffer(only)
    for field in dataclasses.fields(TransitionArrays):
        ours, theirs = getattr(part, field.name), getattr(wanted, field.name)
        np.testing.assert_array_equal(ours, chosen[theirs] if field.name == "episodes" else theirs)
    index = np.arange(len(part))
    np.testing.assert_array_equal(part.next_observations(index), wanted.next_observations(index))


@pytest.mark.parametrize(
    "config",
    [
        GradientMatchingConfig(
            learner=LEARNER, n_samples=12, steps=4, trajectory_length=3, output_dtype="float32"
        ),
        GradientMatchingConfig(
            learner=LEARNER, n_samples=12, steps=4, sharpness=2.0, shared_observations=3, output_dtype="float32"
        ),
        UnrolledMatchingConfig(
            learner=LEARNER, n_samples=12, steps=4, window=2, horizon=4, output_dtype="float32"
        ),
        LabelDistillationConfig(learner=LEARNER, n_samples=12, steps=4, sharpness=2.0, teacher_steps=4),
    ],
    ids=["matching", "sharpened", "unrolled", "labels"],
)
def test_a_percentage_distils_as_if_the_other_episodes_were_not_there(
    config: LearnedMethod, mixed: ReplayBuffer
) -> None:
    everything = TransitionArrays.from_buffer(mixed)
    kept = best_episodes(mixed, PERCENT)
    assert 0 < len(kept) < len(RETURNS) and min(np.array(RETURNS)[kept]) == 3
    lengths = [len(episode) for episode in mixed.episodes]
    policy = np.random.default_rng(0).dirichlet(np.ones(4), sum(lengths))
    by_episode = np.split(policy, np.cumsum(lengths)[:-1])
    theirs = np.concatenate([by_episode[i] for i in kept])

    ours = distil(dataclasses.replace(config, percent=PERCENT), mixed, behaviour=policy)
    only = OfflineDataset(mixed).replay_buffer(PERCENT)
    assert [len(episode) for episode in only.episodes] == [lengths[i] for i in kept]
    wanted = distil(config, only, behaviour=theirs)
    for name in ("observations", "actions", "rewards", "probabilities"):
        np.testing.assert_array_equal(getattr(ours.samples, name), getattr(wanted.samples, name))
    assert (ours.samples.probabilities is not None) == (config.labels == "soft")

    assert ours.sources is not None and set(everything.episodes[ours.sources]) <= set(kept)
    start = ours.samples if ours.initial is None else ours.initial
    np.testing.assert_array_equal(start.observations, everything.observations[ours.sources])


def test_a_hundred_percent_is_all(mixed: ReplayBuffer) -> None:
    config = GradientMatchingConfig(learner=LEARNER, n_samples=12, steps=2, output_dtype="float32")
    ours, wanted = (
        distil(one, mixed).samples.observations for one in (dataclasses.replace(config, percent=100), config)
    )
    np.testing.assert_array_equal(ours, wanted)


def test_a_percentage_that_leaves_too_few_is_refused(mixed: ReplayBuffer) -> None:
    config = GradientMatchingConfig(learner=LEARNER, n_samples=50, percent=10, output_dtype="float32")
    n = mixed.transition_count
    with pytest.raises(UnsuitableDatasetError, match=rf"percent=10 leaves 22 of {n} .* at least n_samples=50"):
        distil(config, mixed)


@pytest.mark.parametrize("percent", [0, -1, 100.5, float("nan")])
def test_a_percentage_out_of_range_is_refused(percent: float, mixed: ReplayBuffer) -> None:
    with pytest.raises(SettingsError, match=r"percent=.*above 0 and at most 100"):
        GradientMatchingConfig(learner=LEARNER, percent=percent)
    with pytest.raises(SettingsError, match=r"percent=.*above 0 and at most 100"):
        OfflineDataset(mixed).best(percent)
