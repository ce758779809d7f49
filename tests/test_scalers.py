"""Scalers that are fitted an episode at a time: to the bit what d3rlpy's own loop gives."""

from __future__ import annotations

import numpy as np
import pytest
from d3rlpy.algos import BCConfig
from d3rlpy.dataset import Episode, FrameStackTransitionPicker, InfiniteBuffer, ReplayBuffer
from d3rlpy.preprocessing import MinMaxActionScaler, MinMaxObservationScaler, StandardObservationScaler

from d3rlpy_distill.learners.scalers import fit_scalers


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_they_equal_d3rlpys(dtype: type[np.floating]) -> None:
    rng = np.random.default_rng(0)
    episodes = [
        Episode(
            (rng.normal(size=(length, 5)) * [1, 1e3, 1e-3, 1, 0] + 7).astype(dtype),
            rng.uniform(-1, 1, (length, 2)).astype(np.float32),
            np.zeros((length, 1), np.float32),
            terminated,
        )
        for length, terminated in ((1, False), (400, True), (2, False), (31, False), (1, True), (900, True))
    ]
    buffer = ReplayBuffer(InfiniteBuffer(), episodes=episodes)
    config = BCConfig(observation_scaler=StandardObservationScaler(), action_scaler=MinMaxActionScaler())
    fit_scalers(config, buffer)
    observed, acted = StandardObservationScaler(), MinMaxActionScaler()
    observed.fit_with_transition_picker(buffer.episodes, buffer.transition_picker)
    acted.fit_with_transition_picker(buffer.episodes, buffer.transition_picker)
    ours, theirs = config.observation_scaler, observed
    assert isinstance(ours, StandardObservationScaler) and isinstance(config.action_scaler, MinMaxActionScaler)
    for one, other in (
        (ours.mean, theirs.mean),
        (ours.std, theirs.std),
        (config.action_scaler.minimum, acted.minimum),
        (config.action_scaler.maximum, acted.maximum),
    ):
        assert isinstance(one, np.ndarray) and isinstance(other, np.ndarray)
        assert one.dtype == other.dtype and one.shape == other.shape
        np.testing.assert_array_equal(one, other)


def test_others_are_fitted_by_d3rlpy() -> None:
    episode = Episode(
        np.eye(4, dtype=np.float32), np.eye(4, 2, dtype=np.float32), np.zeros((4, 1), np.float32), True
    )
    buffer = ReplayBuffer(InfiniteBuffer(), episodes=[episode])
    config = BCConfig(observation_scaler=MinMaxObservationScaler())
    fit_scalers(config, buffer)
    assert isinstance(config.observation_scaler, MinMaxObservationScaler) and config.observation_scaler.built
    rewards = np.zeros((3, 1), np.float32)
    frames = Episode(np.zeros((3, 1, 8, 8), np.uint8), np.eye(3, 2, dtype=np.float32), rewards, True)
    stacked = ReplayBuffer(
        InfiniteBuffer(), episodes=[frames], transition_picker=FrameStackTransitionPicker(n_frames=2)
    )
    config = BCConfig(action_scaler=MinMaxActionScaler())
    fit_scalers(config, stacked)
    assert isinstance(config.action_scaler, MinMaxActionScaler) and config.action_scaler.built
