"""A learner's scalers, fitted to the real data."""

from __future__ import annotations

from d3rlpy.base import LearnableConfig
from d3rlpy.dataset import ReplayBufferBase

__all__ = ["fit_scalers"]


def fit_scalers(config: LearnableConfig, dataset: ReplayBufferBase) -> None:
    """Fits those scalers of a d3rlpy configuration that are not fitted yet, in place, as d3rlpy's ``fit`` does.

    They belong to the configuration: students of it, trained on synthetic data, then see the real data's scale.
    """
    for name in ("observation_scaler", "action_scaler", "reward_scaler"):
        scaler = getattr(config, name)
        if scaler is not None and not scaler.built:
            scaler.fit_with_transition_picker(dataset.episodes, dataset.transition_picker)
