"""The rollout engine: many environments and many policies in one loop, for collecting and for evaluating."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from d3rlpy_distill.cores import available_cores
from d3rlpy_distill.policies import DiscretePolicy, sample_actions

from .env import ProcgenVecEnv
from .games import N_ACTIONS

__all__ = ["EpisodeSteps", "RolloutEpisode", "rollout", "slot_quotas"]

NO_ACTION = 4  # "stay": what slots that have filled their quota do
FEWEST = 8  # a batch is not made smaller: a step's fixed costs outweigh that of its slots


class EpisodeSteps(NamedTuple):
    """The steps of one episode of length L.

    Attributes:
        observations: uint8 ``(L, 3, 64, 64)``, the frames on which the actions were taken.
        actions: int32 ``(L,)``.
        rewards: float32 ``(L,)``.
        probabilities: The policy's action probabilities, float32 ``(L, 15)``.
    """

    observations: npt.NDArray[np.uint8]
    actions: npt.NDArray[np.int32]
    rewards: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class RolloutEpisode:
    """One finished episode.

    Args:
        policy: Index of the policy that played it.
        slot: Environment slot, the same levels in every policy's group.
        index: How many episodes the slot finished before this one.
        level_seed: Procgen's level.
        episode_return: Sum of the rewards.
        length: Number of steps, L.
        timeout: Whether the time limit ended it.
        level_complete: Whether the level was solved.
        steps: The steps, if the rollout records them.
    """

    policy: int
    slot: int
    index: int
    level_seed: int
    episode_return: float
    length: int
    timeout: bool
    level_complete: bool
    steps: EpisodeSteps | None


class _Tick(NamedTuple):
    frames: npt.NDArray[np.uint8]  # (B, 64, 64, 3)
    actions: npt.NDArray[np.int32]  # (B,)
    rewards: npt.NDArray[np.float32]  # (B,)
    probabilities: npt.NDArray[np.float32]  # (B, 15)
    row: npt.NDArray[np.int64]  # (N,): where each environment stands in this batch


def slot_quotas(episodes: int, num_slots: int) -> npt.NDArray[np.int64]:
    """Returns how many episodes each slot plays, as even as it gets: int64 ``(num_slots,)``."""
    base, extra = divmod(episodes, num_slots)
    return np.full(num_slots, base, np.int64) + (np.arange(num_slots) < extra)


def rollout(
    env: ProcgenVecEnv,
    policies: Sequence[DiscretePolicy],
    episodes: int,
    *,
    greedy: bool,
    seed: int,
    record: bool = False,
) -> Iterator[RolloutEpisode]:
    """Plays ``episodes`` episodes with every policy and yields each as it finishes.

    The *first* ``k`` episodes of every slot count and no more: a pool of whichever episodes finish first
    would be biased to short ones. The environment is reset to its beginning, so equal arguments give equal
    episodes. Each policy draws its actions from a stream of its own; what one policy does changes nothing
    for another. Once half the slots have played theirs, the others go on in :meth:`ProcgenVecEnv.half`:
    a few episodes may be many times as long as the rest.

    Args:
        env: Environment with ``env.copies == len(policies)``.
        policies: P policies.
        episodes: Episodes for each policy.
        greedy: Take the likeliest action instead of sampling.
        seed: Seed of the action sampling.
        record: Keep the steps. Memory holds the frames since the oldest running episode began, at most
            ``time_limit * N`` of them.

    Yields:
        Finished episodes, in order of finishing, then of environment index.

    Raises:
        ValueError: If the number of policies is not the environment's number of copies.
    """
    if len(policies) != env.copies:
        raise ValueError(f"{len(policies)} policies for an environment of {env.copies} copies: give one each.")
    slots, n = env.num_slots, env.num_envs
    remaining = np.tile(slot_quotas(episodes, slots), env.copies)
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(len(policies))]
    frames = env.reset().transpose(0, 2, 3, 1)
    slot_of = np.arange(n)  # the slots that env holds, by row
    row_of = np.arange(n)  # and back
    started = np.zeros(n, np.int64)
    finished = np.zeros(n, np.int64)
    returns = np.zeros(n)
    history: deque[_Tick] = deque()
    oldest = 0  # time of history[0]
    now = 0
    with _one_core_each(len(policies)) as run:
        while remaining.any():
            while env.num_envs // 2 >= max(np.count_nonzero(remaining), FEWEST):
                # those that still play, and as many others as there are places left; in order, as before
                kept = np.sort(np.argsort(remaining[slot_of] == 0, kind="stable")[: env.num_envs // 2])
                states = env.state()
                env = env.half()
                frames = env.restore([states[row] for row in kept]).transpose(0, 2, 3, 1)
                slot_of = slot_of[kept]
                row_of = np.full(n, -1)
                row_of[slot_of] = np.arange(len(slot_of))
            actions = np.full(env.num_envs, NO_ACTION, np.int32)
            probabilities = np.zeros((env.num_envs, N_ACTIONS), np.float32)
            uniform = [stream.random(slots) for stream in streams]  # for all slots: draws depend on time alone
            active = [np.flatnonzero(of_policy) for of_policy in remaining.reshape(-1, slots)]
            playing = [p for p, mine in enumerate(active) if mine.size]
            rows = [row_of[p * slots + active[p]] for p in playing]
            decisions = run(
                _decide,
                [policies[p] for p in playing],
                [frames[mine] for mine in rows],
                [uniform[p][active[p]] for p in playing],
                itertools.repeat(greedy),
            )
            for mine, decision in zip(rows, decisions, strict=True):
                actions[mine], probabilities[mine] = decision
            result = env.step(actions)
            returns[slot_of] += result.rewards
            if record:
                history.append(_Tick(frames, actions, result.rewards, probabilities, row_of))
            now += 1
            if result.ends is not None:
                for i, level_seed, complete in zip(
                    slot_of[result.ends.slots], result.ends.level_seeds, result.ends.level_complete, strict=True
                ):
                    if remaining[i]:
                        length = int(now - started[i])
                        ticks = [history[t - oldest] for t in range(started[i], now)] if record else None
                        yield RolloutEpisode(
                            policy=int(i // slots),
                            slot=int(i % slots),
                            index=int(finished[i]),
                            level_seed=int(level_seed),
                            episode_return=float(returns[i]),
                            length=length,
                            timeout=bool(length >= env.game.time_limit and not complete),
                            level_complete=bool(complete),
                            steps=_steps(ticks, int(i)) if ticks is not None else None,
                        )
                        remaining[i] -= 1
                        finished[i] += 1
                    started[i] = now
                    returns[i] = 0.0
                if record and remaining.any():
                    for _ in range(int(started[remaining > 0].min()) - oldest):
                        history.popleft()
                        oldest += 1
            frames = result.observations.transpose(0, 2, 3, 1)


@contextlib.contextmanager
def _one_core_each(size: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """Yields a ``map`` that runs several policies at once, each on one core.

    That beats running one after the other on all cores, which wait for each other at every operation.
    """
    workers = min(size, available_cores())
    if workers == 1:
        yield map
        return
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield pool.map


def _decide(
    policy: DiscretePolicy, frames: npt.NDArray[np.uint8], uniform: npt.NDArray[np.float64], greedy: bool
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Returns actions ``(B,)`` and probabilities ``(B, 15)`` for frames ``(B, 64, 64, 3)``."""
    logits = policy.logits(torch.from_numpy(frames).permute(0, 3, 1, 2))
    probabilities: npt.NDArray[np.float32] = torch.softmax(logits, 1).numpy()
    if greedy:
        return logits.argmax(1).numpy().astype(np.int32), probabilities
    return sample_actions(probabilities, uniform), probabilities


def _steps(ticks: Sequence[_Tick], i: int) -> EpisodeSteps:
    rows = [(tick, tick.row[i]) for tick in ticks]
    return EpisodeSteps(
        observations=np.ascontiguousarray(np.stack([t.frames[row] for t, row in rows]).transpose(0, 3, 1, 2)),
        actions=np.array([t.actions[row] for t, row in rows], np.int32),
        rewards=np.array([t.rewards[row] for t, row in rows], np.float32),
        probabilities=np.stack([t.probabilities[row] for t, row in rows]),
    )
