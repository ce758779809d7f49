"""How a number of samples is shared out over the actions."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import UnsuitableDatasetError

__all__ = ["Allocation", "allocate", "check_sample_count", "deal_labels", "deal_shared", "draw_per_action"]

Allocation = Literal["even", "frequency"]


def check_sample_count(n_samples: int, total: int) -> None:
    """Refuses a number of samples that the data cannot give.

    Args:
        n_samples: What is asked for.
        total: The transitions that there are.

    Raises:
        UnsuitableDatasetError: If it is below 1 or above the transitions.
    """
    if not 1 <= n_samples <= total:
        raise UnsuitableDatasetError(
            f"n_samples={n_samples}: expected 1 to {total}, the transitions in the dataset."
        )


def allocate(n_samples: int, counts: npt.NDArray[np.integer[Any]], how: Allocation) -> npt.NDArray[np.int64]:
    """Shares out ``n_samples`` over A actions.

    ``"even"`` gives every action that occurs the same number, remainders to the lowest actions first.
    ``"frequency"`` follows the data's frequencies by the largest-remainder method, ties to the lowest action.
    No action gets more than the data has of it; what is cut off goes to the others by the same rule.

    Args:
        n_samples: 1 to the number of transitions.
        counts: How often each action occurs, ``(A,)``.
        how: ``"even"`` or ``"frequency"``.

    Returns:
        Samples of each action, int64 ``(A,)``; they sum to ``n_samples``.

    Raises:
        UnsuitableDatasetError: If ``n_samples`` is out of range.
        ValueError: If ``how`` is neither.
    """
    if how not in ("even", "frequency"):
        raise ValueError(f"allocation={how!r}: expected 'even' or 'frequency'.")
    total = int(counts.sum())
    check_sample_count(n_samples, total)
    given = np.zeros(len(counts), np.int64)
    weights = counts.astype(float) if how == "frequency" else (counts > 0).astype(float)
    open_actions = np.flatnonzero(counts)
    left = n_samples
    while left:
        quota = left * weights[open_actions] / weights[open_actions].sum()
        full = quota >= counts[open_actions] - 1e-9
        if not full.any():
            share = np.floor(quota + 1e-9).astype(np.int64)
            order = np.argsort(-(quota - share), kind="stable")
            share[order[: left - int(share.sum())]] += 1
            given[open_actions] = share
            break
        given[open_actions[full]] = counts[open_actions[full]]
        left = n_samples - int(given.sum())
        open_actions = open_actions[~full]
    return given


def draw_per_action(
    actions: npt.NDArray[np.int64], per_action: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Draws ``per_action[a]`` transitions of each action without replacement.

    Args:
        actions: ``(N,)``.
        per_action: ``(A,)``.
        rng: Draws them.

    Returns:
        Indices into ``actions``, grouped by action in ascending order, ``(sum(per_action),)``.
    """
    chosen = [
        rng.choice(np.flatnonzero(actions == a), count, replace=False)
        for a, count in enumerate(per_action)
        if count
    ]
    return np.concatenate(chosen)


def deal_shared(
    per_action: npt.NDArray[np.int64], n_transitions: int, n_shared: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draws a few transitions and gives each of them every action's share of samples, give or take one.

    Args:
        per_action: Samples of each action, ``(A,)``.
        n_transitions: Transitions to draw from.
        n_shared: How many to draw, without replacement.
        rng: Draws them.

    Returns:
        For each sample the transition and the action, int64 ``(sum(per_action),)`` both, grouped by action.
    """
    shared = rng.choice(n_transitions, n_shared, replace=False)
    actions = np.repeat(np.arange(len(per_action)), per_action)
    return shared[np.arange(len(actions)) % n_shared], actions


def deal_labels(
    labels: npt.NDArray[np.floating[Any]], n_samples: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Gives each of M observations actions in the proportions of its label, by systematic sampling.

    An observation with k samples has its actions at k evenly spaced points of its cumulative label, so that each
    action is there as often as the label says, give or take one. The first points of the M observations are evenly
    spaced too, in a random order: what one has too much of an action, another has too little.

    Args:
        labels: Rows that sum to 1, ``(M, A)``.
        n_samples: At least M; the first observations get the remainder.
        rng: Draws the points.

    Returns:
        For each sample the observation and the action, int64 ``(n_samples,)`` both.
    """
    count = len(labels)
    rows = np.arange(n_samples) % count
    per_row = np.bincount(rows, minlength=count)
    offsets = (rng.permutation(count) + rng.random()) / count
    points = (np.arange(n_samples) // count + offsets[rows]) / per_row[rows]
    bounds = np.cumsum(labels, axis=1, dtype=np.float64)[:, :-1]  # the last action takes what rounding leaves
    return rows, (points[:, None] >= bounds[rows]).sum(1)
