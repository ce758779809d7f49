"""Actions drawn anew from the probabilities that the behaviour policy gave them, sharpened."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
from d3rlpy.dataset import ReplayBufferBase

from ..errors import UnsuitableDatasetError
from .transitions import TransitionArrays

__all__ = ["check_probabilities", "not_probabilities", "relabel", "sharpen", "transition_probabilities"]


SUM_TOLERANCE = 1e-3  # float16 networks record probabilities, too


def sharpen(probabilities: npt.NDArray[np.floating[Any]], sharpness: float) -> npt.NDArray[np.float64]:
    r"""Returns :math:`\pi(a|s)^\kappa / \sum_b \pi(b|s)^\kappa`: the policy at temperature :math:`1/\kappa`.

    Args:
        probabilities: ``(N, A)``, rows that sum to 1.
        sharpness: :math:`\kappa`, above 0; 1 leaves them as they are, infinity would be the greedy policy.
    """
    # relative to the largest, so that large powers do not underflow to rows of zeros
    powers = (probabilities / probabilities.max(1, keepdims=True)).astype(np.float64) ** sharpness
    sharpened: npt.NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return sharpened


def transition_probabilities(
    dataset: ReplayBufferBase, data: TransitionArrays, probabilities: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.floating[Any]]:
    """Returns the probabilities of the transitions, ``(N, A)``.

    Args:
        dataset: The buffer.
        data: Its transitions.
        probabilities: Of every step of every episode in their order, ``(S, A)``; S is N and one more for each
            episode that timed out.

    Raises:
        UnsuitableDatasetError: If they are not that many, or no probabilities.
    """
    check_probabilities(dataset, probabilities)
    lengths = np.array([len(episode) for episode in dataset.episodes])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    rows: npt.NDArray[np.floating[Any]] = probabilities[starts[data.episodes] + data.steps]
    return rows


def check_probabilities(dataset: ReplayBufferBase, probabilities: npt.NDArray[np.floating[Any]]) -> None:
    """Refuses what are no probabilities of the steps of a buffer, ``(S, A)``.

    Raises:
        UnsuitableDatasetError: If they are not that many, not finite, below 0, or do not sum to 1.
    """
    steps = sum(len(episode) for episode in dataset.episodes)
    expected = (steps, dataset.dataset_info.action_size)
    if probabilities.shape != expected:
        raise UnsuitableDatasetError(
            f"action probabilities of shape {probabilities.shape}: expected {expected}, one row for each step."
        )
    if problem := not_probabilities(probabilities):
        raise UnsuitableDatasetError(f"action probabilities {problem}.")


def not_probabilities(rows: npt.NDArray[np.floating[Any]]) -> str | None:
    """Says why rows ``(N, A)`` are no probabilities: below 0, not finite, or not 1 in sum; None if they are."""
    if not np.issubdtype(rows.dtype, np.floating):
        return f"of type {rows.dtype}: expected floats"
    if not (np.isfinite(rows).all() and (rows >= 0).all()):
        return "below 0 or not finite: expected 0 to 1"
    off = np.flatnonzero(np.abs(rows.sum(1, dtype=np.float64) - 1) > SUM_TOLERANCE)
    return f"of row {off[0]} sum to {rows[off[0]].sum(dtype=np.float64):.4g}: expected 1" if len(off) else None


def relabel(
    data: TransitionArrays,
    probabilities: npt.NDArray[np.floating[Any]],
    sharpness: float,
    rng: np.random.Generator,
) -> TransitionArrays:
    """Returns the transitions with an action drawn from the sharpened policy at each.

    Rewards and returns stay those of the action that was taken.

    Args:
        data: N transitions with discrete actions.
        probabilities: The behaviour policy's, ``(N, A)``.
        sharpness: See :func:`sharpen`.
        rng: Draws the actions.
    """
    cumulative = sharpen(probabilities, sharpness).cumsum(1)
    drawn = (rng.random((len(data), 1)) * cumulative[:, -1:] >= cumulative).sum(1)
    return dataclasses.replace(data, actions=np.minimum(drawn, data.action_size - 1).astype(np.int64))
