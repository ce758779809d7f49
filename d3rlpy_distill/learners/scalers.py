"""A learner's scalers, fitted to the real data."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from d3rlpy.base import LearnableConfig
from d3rlpy.dataset import EpisodeBase, ReplayBufferBase
from d3rlpy.preprocessing import MinMaxActionScaler, StandardObservationScaler

from .quick_batches import picks_vectors

__all__ = ["fit_scalers"]


def fit_scalers(config: LearnableConfig, dataset: ReplayBufferBase) -> None:
    """Fits those scalers of a d3rlpy configuration that are not fitted yet, in place, as d3rlpy's ``fit`` does.

    They belong to the configuration: students of it, trained on synthetic data, then see the real data's scale.
    Of vectors with d3rlpy's basic picker the standard and the min-max scaler are fitted an episode at a time, to the
    bit what d3rlpy's loop over transitions gives.
    """
    for name in ("observation_scaler", "action_scaler", "reward_scaler"):
        scaler = getattr(config, name)
        if scaler is None or scaler.built:
            continue
        vectors = picks_vectors(dataset)
        if vectors and type(scaler) is StandardObservationScaler:
            scaler.mean, scaler.std = _mean_and_deviation(dataset)
        elif vectors and type(scaler) is MinMaxActionScaler:
            actions = [np.asarray(one.actions[: one.transition_count]) for one in dataset.episodes]
            actions = [one for one in actions if len(one)]
            scaler.minimum = np.min([one.min(0) for one in actions], axis=0)
            scaler.maximum = np.max([one.max(0) for one in actions], axis=0)
        else:
            scaler.fit_with_transition_picker(dataset.episodes, dataset.transition_picker)


def _mean_and_deviation(dataset: ReplayBufferBase) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    count = sum(episode.transition_count for episode in dataset.episodes)
    total = np.zeros(dataset.dataset_info.observation_signature.shape[0])
    for episode in dataset.episodes:
        total = _added(total, _rows(episode))
    mean = total / count
    squares = np.zeros_like(total)
    for episode in dataset.episodes:
        squares = _added(squares, (_rows(episode) - mean) ** 2)
    return mean, np.sqrt(squares / count)


def _rows(episode: EpisodeBase) -> npt.NDArray[np.float64]:
    rows: npt.NDArray[np.float64] = np.asarray(episode.observations[: episode.transition_count], np.float64)
    return rows


def _added(total: npt.NDArray[np.float64], rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Adds rows one after the other: a sum over the axis would add in another order, and round otherwise."""
    added: npt.NDArray[np.float64] = np.cumsum(np.concatenate([total[None], rows]), axis=0)[-1]
    return added
