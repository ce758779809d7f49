"""Coresets, percentiles and allocation against brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from buffers import built_in, make_buffer
from d3rlpy_distill import OfflineDataset, TransitionArrays
from d3rlpy_distill.catalogue import CORESET, METHODS
from d3rlpy_distill.data.allocation import allocate
from d3rlpy_distill.data.percentile import best_episodes
from d3rlpy_distill.errors import SettingsError, UnsuitableDatasetError
from d3rlpy_distill.methods import Coreset, Distilled
from d3rlpy_distill.methods.features import pooled_pixels
from d3rlpy_distill.methods.herding import herding
from d3rlpy_distill.methods.k_center import k_center

CORESETS = ("random", "balanced", "herding", "k-center")
"""Those that choose transitions with their actions; ``prior`` deals actions anew."""


def choose(name: str, dataset: OfflineDataset, n_samples: int, seed: int = 0) -> Distilled:
    return METHODS.get(name)(n_samples=n_samples).distill(dataset, np.random.default_rng(seed))


def brute_force_percentile(lengths: list[int], returns: list[float], percent: float) -> list[int]:
    """Takes the best episode left, one by one, until enough transitions are in."""
    left = list(range(len(lengths)))
    kept: list[int] = []
    while sum(lengths[i] for i in kept) < math.ceil(round(percent * sum(lengths)) / 100):
        best = max(left, key=lambda i: (returns[i], -i))
        left.remove(best)
        kept.append(best)
    return sorted(kept)


@settings(max_examples=40, deadline=None)
@given(
    episodes=st.lists(st.tuples(st.integers(1, 9), st.sampled_from([0.0, 5.0, 10.0])), min_size=1, max_size=12),
    percent=st.sampled_from([1, 10, 25, 40, 99, 100]),
)
def test_percentile_equals_brute_force(episodes: list[tuple[int, float]], percent: int) -> None:
    lengths, returns = [e[0] for e in episodes], [e[1] for e in episodes]
    buffer = make_buffer(lengths, returns, shape=(2,))
    wanted = brute_force_percentile(lengths, returns, percent)
    assert best_episodes(buffer, percent).tolist() == wanted
    dataset = OfflineDataset(buffer)
    chosen = dataset.replay_buffer(percent)
    assert [id(e) for e in chosen.episodes] == [id(buffer.episodes[i]) for i in wanted]
    assert chosen.dataset_info.action_size == 4
    best, index = dataset.best(percent)
    everything, own = dataset.transitions, TransitionArrays.from_buffer(chosen)
    assert set(everything.episodes[index]) == set(wanted) and len(best) == len(own)
    for name in ("observations", "actions", "rewards", "terminals", "returns_to_go", "steps"):
        np.testing.assert_array_equal(getattr(best, name), getattr(everything, name)[index])
        np.testing.assert_array_equal(getattr(best, name), getattr(own, name))
    np.testing.assert_array_equal(
        best.next_observations(np.arange(len(best))), own.next_observations(np.arange(len(own)))
    )


def test_percentile_does_not_round_up_exact_shares() -> None:
    buffer = make_buffer([5] * 10, list(range(10)), shape=(2,))
    assert best_episodes(buffer, 10).tolist() == [9]


def test_percentiles_out_of_range_are_refused() -> None:
    dataset = OfflineDataset(make_buffer([5], shape=(2,)))
    for percent in (0, -1, 101, math.nan):
        with pytest.raises(SettingsError, match="expected above 0 and at most 100"):
            dataset.best(percent)


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(0, 20), min_size=1, max_size=6), data=st.data())
def test_allocation_is_the_best_there_is(counts: list[int], data: st.DataObject) -> None:
    """Even: no allocation has a smaller spread; frequency: each within one of its quota where the data allows."""
    total = sum(counts)
    if total == 0:
        with pytest.raises(UnsuitableDatasetError):
            allocate(1, np.array(counts), "even")
        return
    n = data.draw(st.integers(1, total))
    for how in ("even", "frequency"):
        given_ = allocate(n, np.array(counts), how)  # type: ignore[arg-type]
        assert given_.sum() == n and (given_ <= counts).all() and (given_ >= 0).all()
    even = allocate(n, np.array(counts), "even")
    below = [i for i, c in enumerate(counts) if even[i] < c]
    assert all(even[j] - even[i] <= 1 for i, j in itertools.product(below, range(len(counts))))
    frequency = allocate(n, np.array(counts), "frequency")
    quota = n * np.array(counts) / total
    assert (np.abs(frequency - quota) < 1 + 1e-9).all()


def test_largest_remainder_by_hand() -> None:
    assert allocate(10, np.array([500, 333, 167]), "frequency").tolist() == [5, 3, 2]
    assert allocate(7, np.array([10, 10, 0, 1]), "even").tolist() == [3, 3, 0, 1]
    with pytest.raises(ValueError, match="expected 'even' or 'frequency'"):
        allocate(1, np.array([1]), "odd")  # type: ignore[arg-type]


def brute_force_herding(features: np.ndarray, n: int) -> list[int]:
    mean, picked = features.astype(np.float64).mean(0), []
    for k in range(1, n + 1):
        left = [i for i in range(len(features)) if i not in picked]
        errors = [np.linalg.norm(k * mean - features[[*picked, i]].sum(0)) for i in left]
        picked.append(left[int(np.argmin(errors))])
    return picked


def brute_force_k_center(features: np.ndarray, n: int) -> list[int]:
    picked = [int(np.argmin(np.linalg.norm(features - features.mean(0), axis=1)))]
    while len(picked) < n:
        radius = [
            min(np.linalg.norm(f - features[j]) for j in picked) if i not in picked else -1
            for i, f in enumerate(features)
        ]
        picked.append(int(np.argmax(radius)))
    return picked


@pytest.mark.parametrize("seed", range(5))
def test_herding_and_k_center_equal_brute_force(seed: int) -> None:
    features = np.random.default_rng(seed).normal(size=(30, 4)).astype(np.float32)
    assert herding(features, 12).tolist() == brute_force_herding(features, 12)
    assert k_center(features, 12).tolist() == brute_force_k_center(features, 12)
    assert sorted(k_center(np.zeros((5, 2), np.float32), 5)) == list(range(5))


def test_pooled_pixels_are_means_of_cells() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 24)).astype(np.uint8)
    pooled = pooled_pixels(images).reshape(2, 3, 8, 8)
    assert pooled[1, 2, 3, 4] == pytest.approx(images[1, 2, 6:8, 12:15].mean())


def test_every_coreset_is_tested_here() -> None:
    assert set(METHODS.names(CORESET)) & set(built_in(METHODS)) == {*CORESETS, "prior"}


@pytest.mark.parametrize("name", CORESETS)
def test_coresets_are_transitions_of_the_dataset(name: str) -> None:
    dataset = OfflineDataset(make_buffer([20, 30], shape=(3, 16, 16)))
    data = dataset.transitions
    distilled = choose(name, dataset, 12)
    chosen, sources = distilled.samples, distilled.sources
    assert len(distilled) == len(chosen) == 12 and chosen.action_size == 4
    assert distilled.initial is None and distilled.teachers is None and not distilled.soft
    matches = [np.flatnonzero((data.observations == o).all((1, 2, 3))) for o in chosen.observations]
    index = np.concatenate(matches)
    assert len(set(index)) == 12 and sources is not None
    np.testing.assert_array_equal(index, sources)
    np.testing.assert_array_equal(chosen.actions, data.actions[index])
    np.testing.assert_array_equal(chosen.returns_to_go, data.returns_to_go[index])
    np.testing.assert_array_equal(chosen.rewards, data.returns_to_go[index])
    assert chosen.terminals.all() and [len(e) for e in distilled.to_buffer().episodes] == [1] * 12
    if name == "balanced":
        assert chosen.action_counts().tolist() == [3, 3, 3, 3]
    method = METHODS.get(name)
    assert issubclass(method, Coreset) and method().total_steps == 0
    with pytest.raises(SettingsError, match="n_samples=0: expected 1 or more"):
        method(n_samples=0)
    with pytest.raises(UnsuitableDatasetError, match="n_samples=51: expected 1 to 50"):
        choose(name, dataset, 51)


def test_the_prior_deals_actions_by_frequency_to_a_few_observations() -> None:
    dataset = OfflineDataset(make_buffer([60], shape=(3, 16, 16)))
    data = dataset.transitions
    distilled = METHODS.get("prior")(n_samples=40, n_observations=5).distill(dataset, np.random.default_rng(0))
    chosen, sources = distilled.samples, distilled.sources
    assert sources is not None and len(set(sources)) == 5 and len(chosen) == 40
    np.testing.assert_array_equal(chosen.observations, data.observations[sources])
    np.testing.assert_array_equal(chosen.rewards, data.returns_to_go[sources])
    assert chosen.action_counts().tolist() == allocate(40, data.action_counts(), "frequency").tolist()
    for source in set(sources):
        counts = np.bincount(chosen.actions[sources == source], minlength=4)
        assert (np.abs(counts - chosen.action_counts() / 5) < 1).all()  # the same share of each, give or take one
    with pytest.raises(UnsuitableDatasetError, match="n_samples=61: expected 1 to 60"):
        choose("prior", dataset, 61)


def test_random_selection_follows_its_generator() -> None:
    dataset = OfflineDataset(make_buffer([40], shape=(2,)))
    draws = [choose("random", dataset, 10, seed).samples.observations for seed in (0, 0, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


@pytest.mark.parametrize("name", ["herding", "k-center"])
def test_geometric_coresets_draw_nothing(name: str) -> None:
    dataset = OfflineDataset(make_buffer([40], shape=(2,)))
    first, second = (choose(name, dataset, 10, seed).sources for seed in (0, 1))
    np.testing.assert_array_equal(first, second)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["balanced", "prior"])
def test_coresets_by_action_need_discrete_actions(name: str, rng: np.random.Generator) -> None:
    actions = rng.normal(size=(6, 3)).astype(np.float32)
    episode = Episode(np.zeros((6, 2), np.float32), actions, np.ones((6, 1), np.float32), True)
    dataset = OfflineDataset(ReplayBuffer(InfiniteBuffer(), episodes=[episode]))
    with pytest.raises(UnsuitableDatasetError, match="actions are continuous"):
        choose(name, dataset, 2)
    chosen = choose("random", dataset, 2)
    np.testing.assert_array_equal(chosen.samples.actions, actions[chosen.sources])


def test_a_timed_out_episode_loses_its_last_step() -> None:
    data = TransitionArrays.from_buffer(make_buffer([4, 3], shape=(2,), terminated=False))
    assert len(data) == 5 and data.steps.tolist() == [0, 1, 2, 0, 1]


def test_nan_pixels_are_named() -> None:
    buffer = make_buffer([3], shape=(2,))
    episode = buffer.episodes[0]
    bad = episode.observations.astype(np.float32)  # type: ignore[union-attr]
    bad[1] = np.nan
    broken = ReplayBuffer(
        InfiniteBuffer(), episodes=[Episode(bad, episode.actions, episode.rewards, True)], action_size=4
    )
    with pytest.raises(UnsuitableDatasetError, match="episode 0, step 1"):
        TransitionArrays.from_buffer(broken)
