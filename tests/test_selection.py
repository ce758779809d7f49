"""Selectors and allocation against brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buffers import make_buffer
from d3rlpy_distill import (
    BalancedSelector,
    HerdingSelector,
    KCenterSelector,
    PercentileSelector,
    RandomSelector,
    TransitionArrays,
    UnsuitableDatasetError,
)
from d3rlpy_distill.allocation import allocate
from d3rlpy_distill.selection.geometric import herding, k_center, pooled_pixels


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
    chosen = PercentileSelector(percent).select(buffer, np.random.default_rng(0))
    wanted = [buffer.episodes[i] for i in brute_force_percentile(lengths, returns, percent)]
    assert [id(e) for e in chosen.episodes] == [id(e) for e in wanted]
    assert chosen.dataset_info.action_size == 4


def test_percentile_does_not_round_up_exact_shares(rng: np.random.Generator) -> None:
    chosen = PercentileSelector(10).select(make_buffer([5] * 10, list(range(10)), shape=(2,)), rng)
    assert [e.compute_return() for e in chosen.episodes] == [9.0]


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


@pytest.mark.parametrize("selector", [RandomSelector, BalancedSelector, HerdingSelector, KCenterSelector])
def test_selectors_return_transitions_of_the_dataset(
    selector: type[RandomSelector], rng: np.random.Generator
) -> None:
    buffer = make_buffer([20, 30], shape=(3, 16, 16))
    data = TransitionArrays.from_buffer(buffer)
    chosen = TransitionArrays.from_buffer(selector(12).select(buffer, rng))
    assert len(chosen) == 12 and chosen.action_size == 4
    matches = [np.flatnonzero((data.observations == o).all((1, 2, 3))) for o in chosen.observations]
    index = np.concatenate(matches)
    assert len(set(index)) == 12
    np.testing.assert_array_equal(chosen.actions, data.actions[index])
    np.testing.assert_array_equal(chosen.returns_to_go, data.returns_to_go[index])
    if selector is BalancedSelector:
        assert chosen.action_counts().tolist() == [3, 3, 3, 3]
    for n in (0, 51):
        with pytest.raises(UnsuitableDatasetError, match=f"n_samples={n}: expected 1 to 50"):
            selector(n).select(buffer, rng)


def test_random_selection_follows_its_generator() -> None:
    buffer = make_buffer([40], shape=(2,))
    draws = [
        TransitionArrays.from_buffer(RandomSelector(10).select(buffer, np.random.default_rng(s))).observations
        for s in (0, 0, 1)
    ]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_a_timed_out_episode_loses_its_last_step() -> None:
    data = TransitionArrays.from_buffer(make_buffer([4, 3], shape=(2,), terminated=False))
    assert len(data) == 5 and data.steps.tolist() == [0, 1, 2, 0, 1]


def test_nan_pixels_are_named() -> None:
    buffer = make_buffer([3], shape=(2,))
    episode = buffer.episodes[0]
    bad = episode.observations.astype(np.float32)  # type: ignore[union-attr]
    bad[1] = np.nan
    from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer

    broken = ReplayBuffer(
        InfiniteBuffer(), episodes=[Episode(bad, episode.actions, episode.rewards, True)], action_size=4
    )
    with pytest.raises(UnsuitableDatasetError, match="episode 0, step 1"):
        TransitionArrays.from_buffer(broken)
