"""Plays a policy on many environments at once, for evaluating and for collecting; films several of one start."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import numpy.typing as npt
import torch

from ..errors import DistillError
from ..policies import ContinuousPolicy, DiscretePolicy, Policy, SampledPolicy, UniformPolicy, sample_actions
from .base import Shot
from .gymnasium_spaces import ActionLayout, ObservationLayout

__all__ = ["LONGEST", "EpisodeSteps", "PlayedEpisode", "Player"]

LONGEST = 30_000
"""Steps after which an episode is cut. Environments have limits of their own, mostly 1000; those that have none would
go on forever with a policy that never ends one."""


class EpisodeSteps(NamedTuple):
    """The steps of one episode of length L.

    Args:
        observations: Those that the actions were taken on, ``(L, ...)``.
        actions: int32 ``(L,)``, or float32 ``(L, D)``, as the environment got them.
        rewards: float32 ``(L,)``.
        probabilities: The policy's, float32 ``(L, A)``; None where actions are continuous.
    """

    observations: npt.NDArray[Any]
    actions: npt.NDArray[Any]
    rewards: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32] | None


@dataclasses.dataclass(frozen=True)
class PlayedEpisode:
    """One finished episode.

    Args:
        number: Its place among those that were asked for.
        start: The seed that it was reset with.
        episode_return: Sum of the rewards.
        length: Number of steps, L.
        timeout: Whether it was cut rather than over.
        steps: The steps, if they were recorded.
    """

    number: int
    start: int
    episode_return: float
    length: int
    timeout: bool
    steps: EpisodeSteps | None


class Player:
    """Environments that are made at first use and kept.

    Args:
        make: Makes one.
        observations: How to read what they show.
        actions: How to write what they are given.
        new_each_time: Make one for every episode: those that do not forget the last one when they are reset.
        first: One that is made already.
    """

    def __init__(
        self,
        make: Callable[[], gymnasium.Env[Any, Any]],
        observations: ObservationLayout,
        actions: ActionLayout,
        *,
        new_each_time: bool = False,
        first: gymnasium.Env[Any, Any] | None = None,
    ) -> None:
        self.observations, self.actions = observations, actions
        self._make, self._new_each_time = make, new_each_time
        self._envs = [] if first is None else [first]

    def play(
        self,
        policy: Policy,
        starts: Sequence[int],
        *,
        slots: int,
        greedy: bool,
        seed: int,
        record: bool = False,
    ) -> Iterator[PlayedEpisode]:
        """Plays one episode from each start and yields each as it finishes.

        A slot that has finished an episode plays the next start that nobody plays yet. Every start is played to its
        end, so no episode is favoured for being short. What happens in an episode depends on its start, the policy
        and ``seed`` alone: each has a random stream of its own, the same for every policy.

        Args:
            policy: Of the actions' kind.
            starts: Seeds to reset with.
            slots: Environments at once; the network sees as many observations at once.
            greedy: Take the likeliest discrete action, or the mean of a continuous one, instead of sampling.
            seed: Of the sampling of actions.
            record: Keep the steps of the episodes that are being played.
        """
        decide = self._decider(policy, greedy)
        while len(self._envs) < min(slots, len(starts)):
            self._envs.append(self._make())
        waiting = iter(list(enumerate(starts)))
        playing = [
            self._begin(slot, number, start, seed, record)
            for slot, (number, start) in zip(range(slots), waiting, strict=False)
        ]
        while playing:
            observations = torch.from_numpy(np.stack([one.observation for one in playing]))
            actions, probabilities = decide(observations, playing)
            going_on = []
            for i, one in enumerate(playing):
                finished = one.step(actions[i], None if probabilities is None else probabilities[i])
                if finished is None:
                    going_on.append(one)
                    continue
                yield finished
                for number, start in waiting:
                    going_on.append(self._begin(one.slot, number, start, seed, record))
                    break
            playing = going_on

    def film(
        self, policies: Sequence[Policy], start: int, *, greedy: bool, seed: int, max_steps: int
    ) -> Iterator[Shot]:
        """Yields shots of one episode of each policy, those that :meth:`play` plays, until all are over.

        Args:
            policies: P policies, of the actions' kind.
            start: Seed to reset with.
            greedy: As in :meth:`play`.
            seed: Of the sampling of actions.
            max_steps: Steps at most.

        Raises:
            DistillError: If the environments draw no frames.
        """
        while len(self._envs) < len(policies):
            self._envs.append(self._make())
        deciders = [self._decider(policy, greedy) for policy in policies]
        playing = [self._begin(slot, 0, start, seed, False) for slot in range(len(policies))]
        over = np.zeros(len(playing), np.bool_)
        frames = np.stack([one.frame() for one in playing])
        yield Shot(frames, np.zeros(len(playing)), over.copy())
        for _ in range(max_steps):
            frames = frames.copy()
            for i in np.flatnonzero(~over):
                one = playing[i]
                actions, _ = deciders[i](torch.from_numpy(one.observation[None]), [one])
                over[i] = one.step(actions[0], None) is not None
                if not over[i]:
                    frames[i] = one.frame()
            yield Shot(frames, np.array([one.episode_return for one in playing]), over.copy())
            if over.all():
                return

    def _begin(self, slot: int, number: int, start: int, seed: int, record: bool) -> _Running:
        if self._new_each_time:
            self._envs[slot].close()  # type: ignore[no-untyped-call]
            self._envs[slot] = self._make()
        # the key keeps this stream apart from the environment's own, which is SeedSequence(start)
        rng = np.random.default_rng(np.random.SeedSequence((seed, start), spawn_key=(0,)))
        return _Running(self._envs[slot], self.observations, self.actions, slot, number, start, rng, record)

    def _decider(self, policy: Policy, greedy: bool) -> _Decider:
        size = self.actions.size
        if isinstance(policy, UniformPolicy):
            return lambda observations, playing: (
                policy.at(np.stack([one.rng.random(size) for one in playing])).numpy(),
                None,
            )
        if self.actions.discrete:
            assert isinstance(policy, DiscretePolicy)
            return lambda observations, playing: _choose(policy, size, observations, playing, greedy)
        assert isinstance(policy, ContinuousPolicy)
        low, high = self.actions.low, self.actions.high

        def decide(
            observations: torch.Tensor, playing: Sequence[_Running]
        ) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32] | None]:
            if not greedy and isinstance(policy, SampledPolicy):
                noise = np.stack([one.rng.standard_normal(size) for one in playing]).astype(np.float32)
                given = policy.sampled(observations, torch.from_numpy(noise)).numpy()
            else:
                given = policy.actions(observations).numpy()
            _check(given, (len(playing), size), "actions")
            return np.clip(given, low, high), None

        return decide


_Decider = Callable[
    [torch.Tensor, "Sequence[_Running]"], "tuple[npt.NDArray[Any], npt.NDArray[np.float32] | None]"
]


def _choose(
    policy: DiscretePolicy, size: int, observations: torch.Tensor, playing: Sequence[_Running], greedy: bool
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    logits = policy.logits(observations)
    _check(logits.numpy(), (len(playing), size), "logits")
    probabilities: npt.NDArray[np.float32] = torch.softmax(logits, 1).numpy()
    if greedy:
        return logits.argmax(1).numpy().astype(np.int32), probabilities
    return sample_actions(probabilities, np.array([one.rng.random() for one in playing])), probabilities


def _check(given: npt.NDArray[Any], shape: tuple[int, int], what: str) -> None:
    if given.shape != shape:
        raise DistillError(
            f"the policy gives {what} of shape {given.shape}: expected {shape}; it is for another task."
        )
    if np.isnan(given).any():
        raise DistillError(f"the policy gives {what} that are NaN: its training diverged.")


class _Running:
    """An episode that is being played."""

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        observations: ObservationLayout,
        actions: ActionLayout,
        slot: int,
        number: int,
        start: int,
        rng: np.random.Generator,
        record: bool,
    ) -> None:
        self.slot, self.rng = slot, rng
        self._env, self._observations, self._actions = env, observations, actions
        self._number, self._start = number, start
        self.episode_return, self._length = 0.0, 0
        self._steps: list[tuple[Any, Any, float, Any]] | None = [] if record else None
        self.observation = observations.read(env.reset(seed=start)[0])

    def step(self, action: Any, probabilities: npt.NDArray[np.float32] | None) -> PlayedEpisode | None:
        """Takes an action; returns the episode if that was its last step."""
        observation, reward, terminated, truncated, _ = self._env.step(self._actions.write(action))
        self.episode_return += float(reward)
        self._length += 1
        if self._steps is not None:
            self._steps.append((self.observation, action, float(reward), probabilities))
        if not (terminated or truncated or self._length == LONGEST):
            self.observation = self._observations.read(observation)
            return None
        steps = None if self._steps is None else _stack(self._steps, self._actions.discrete)
        return PlayedEpisode(self._number, self._start, self.episode_return, self._length, not terminated, steps)

    def frame(self) -> npt.NDArray[np.uint8]:
        """Returns what the environment draws, uint8 ``(H, W, 3)``."""
        name = self._env.spec.id if self._env.spec is not None else type(self._env.unwrapped).__name__
        try:
            drawn: Any = self._env.render()
        except Exception as error:  # of pygame, MuJoCo, OpenGL: each has its own
            told = " ".join(f"{error}".split()) or type(error).__name__
            raise DistillError(f"{name} cannot be drawn here: {told}") from error
        if not isinstance(drawn, np.ndarray) or drawn.dtype != np.uint8 or drawn.ndim != 3 or drawn.shape[2] != 3:
            raise DistillError(f"{name} cannot be filmed: it draws no frames with render_mode='rgb_array'.")
        return drawn


def _stack(steps: Sequence[tuple[Any, Any, float, Any]], discrete: bool) -> EpisodeSteps:
    observations, actions, rewards, probabilities = zip(*steps, strict=True)
    return EpisodeSteps(
        observations=np.stack(observations),
        actions=np.array(actions, np.int32 if discrete else np.float32),
        rewards=np.array(rewards, np.float32),
        probabilities=np.stack(probabilities) if discrete else None,
    )
