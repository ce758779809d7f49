"""Films policies that play the same level side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from d3rlpy_distill.policies import DiscretePolicy, sample_actions
from d3rlpy_distill.tasks.base import Shot

from .env import ProcgenVecEnv
from .rollout import NO_ACTION

__all__ = ["film"]


def film(
    env: ProcgenVecEnv, policies: Sequence[DiscretePolicy], *, greedy: bool, seed: int, max_steps: int
) -> Iterator[Shot]:
    """Yields shots until every policy's first episode is over, or ``max_steps`` have been taken.

    Args:
        env: Environment of one slot, with a copy for each policy, built with ``human_frames=True``.
        policies: P policies; each draws its actions from a stream of its own.
        greedy: Take the likeliest action instead of sampling.
        seed: Seed of the action sampling.
        max_steps: Steps at most.

    Raises:
        ValueError: If the environment does not fit the policies.
    """
    count = len(policies)
    if env.num_slots != 1 or env.copies != count:
        raise ValueError(f"{count} policies for {env.copies} copies of {env.num_slots} slots: give one slot each.")
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(count)]
    observations = env.reset()
    returns, over = np.zeros(count), np.zeros(count, np.bool_)
    frames = env.render()
    yield Shot(frames, returns.copy(), over.copy())
    for _ in range(max_steps):
        actions = np.full(count, NO_ACTION, np.int32)
        for i in np.flatnonzero(~over):
            logits = policies[i].logits(torch.from_numpy(observations[i : i + 1]))
            probabilities = torch.softmax(logits, 1).numpy()
            drawn = sample_actions(probabilities, streams[i].random(1))
            actions[i] = logits.argmax(1).numpy()[0] if greedy else drawn[0]
        result = env.step(actions)
        returns += np.where(over, 0.0, result.rewards)
        over |= result.first.astype(np.bool_)
        observations = result.observations
        frames = np.where(over[:, None, None, None], frames, env.render())
        yield Shot(frames, returns.copy(), over.copy())
        if over.all():
            return
