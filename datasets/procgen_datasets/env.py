"""A vectorised Procgen environment with channel-first frames, exact episode ends and a cheap exact reset."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from d3rlpy_distill.cores import available_cores
from d3rlpy_distill.errors import MissingExtraError

from .games import N_ACTIONS, Game, Levels, get_game

__all__ = ["EpisodeEnds", "ProcgenVecEnv", "VecStep", "procgen_build"]

FORCE_RESET = -1  # Procgen ends an episode on any action outside its table of combos


@dataclasses.dataclass(frozen=True)
class EpisodeEnds:
    """What Procgen tells of the episodes that ended in one step; arrays of length E.

    Args:
        slots: Index of the environment, int64.
        level_seeds: Level of the episode that ended, int64.
        level_complete: Whether the level was solved, bool.
    """

    slots: npt.NDArray[np.int64]
    level_seeds: npt.NDArray[np.int64]
    level_complete: npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class VecStep:
    """One step of all N environments.

    Args:
        rewards: Reward of the action just taken, float32 ``(N,)``.
        observations: Next frames, uint8 ``(N, 3, 64, 64)`` in [0, 255]. Where an episode ended this is
            the first frame of the *next* one: Procgen gives no final frame.
        first: Whether ``observations`` begins a new episode, bool ``(N,)``.
        ends: The episodes that this step ended; None if there are none.
    """

    rewards: npt.NDArray[np.float32]
    observations: npt.NDArray[np.uint8]
    first: npt.NDArray[np.bool_]
    ends: EpisodeEnds | None


def procgen_build() -> str:
    """Returns the installed distribution and its version, for example ``procgen-mirror 0.10.7``."""
    for name in ("procgen-mirror", "procgen"):
        try:
            return f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    raise missing_procgen()


def missing_procgen() -> MissingExtraError:
    """Returns the error for a machine without Procgen."""
    return MissingExtraError(
        "Procgen is not installed: its wheels are for Linux on x86-64, Python 3.10 to 3.12; there, type: "
        "pip install d3rlpy-distill"
    )


class ProcgenVecEnv:
    """N Procgen environments, in ``copies`` identical groups of ``num_slots``.

    Slot ``s`` plays the same levels in the same order in every group, whatever the policies do: the level
    order of a slot depends on ``rand_seed`` and ``s`` alone. That is what makes all arms of an evaluation
    play the same levels. An environment is built once and reused (:meth:`reset`), because Procgen leaks
    memory when one is destroyed.

    Args:
        game: One of the 16 games.
        num_slots: Environments in a group, 1 or more.
        levels: Range of level seeds.
        mode: ``"easy"`` or ``"hard"``.
        rand_seed: Fixes the order of levels, 0 to 2**31 - 1.
        copies: Groups.
        num_threads: Threads that step the environments; results do not depend on it.
        human_frames: Also render 512x512 frames, see :meth:`render`.

    Raises:
        UnknownGameError: If the game is none of Procgen's.
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        game: str,
        num_slots: int,
        *,
        levels: Levels,
        rand_seed: int,
        mode: str = "easy",
        copies: int = 1,
        num_threads: int | None = None,
        human_frames: bool = False,
    ) -> None:
        self.game: Game = get_game(game)
        if num_slots < 1 or copies < 1:
            raise ValueError(f"num_slots={num_slots}, copies={copies}: both must be 1 or more.")
        if mode not in ("easy", "hard"):
            raise ValueError(f"mode={mode!r}: expected 'easy' or 'hard'.")
        if not 0 <= rand_seed < 2**31:
            raise ValueError(f"rand_seed={rand_seed}: expected 0 to 2**31 - 1.")
        try:
            from procgen import ProcgenGym3Env  # here, because it takes seconds and prints a notice of gym's
        except ImportError as error:
            raise missing_procgen() from error

        self.num_slots = num_slots
        self.copies = copies
        self.num_envs = num_slots * copies
        self.levels = levels
        self.mode = mode
        self.rand_seed = rand_seed
        self._num_threads = available_cores() if num_threads is None else num_threads
        self._env: Any = ProcgenGym3Env(
            num=self.num_envs,
            env_name=game,
            distribution_mode=mode,
            start_level=levels.start,
            num_levels=levels.num,
            rand_seed=rand_seed,
            num_threads=self._num_threads,
            render_mode="rgb_array" if human_frames else None,
        )
        self._half: ProcgenVecEnv | None = None
        self._start = self.state()[:num_slots]
        self.reset()

    def reset(self) -> npt.NDArray[np.uint8]:
        """Returns all environments to the state they were built in, and their frames ``(N, 3, 64, 64)``."""
        return self.restore(self._start * self.copies)

    def observations(self) -> npt.NDArray[np.uint8]:
        """Returns the current frames, a channel-first view, uint8 ``(N, 3, 64, 64)``."""
        _, obs, _ = self._env.observe()
        frames: npt.NDArray[np.uint8] = obs["rgb"].transpose(0, 3, 1, 2)
        return frames

    def level_seeds(self) -> npt.NDArray[np.int64]:
        """Returns the level that each environment is playing, int64 ``(N,)``."""
        return np.array([info["level_seed"] for info in self._env.get_info()], np.int64)

    def step(self, actions: npt.NDArray[np.integer[Any]]) -> VecStep:
        """Takes one action in every environment.

        Args:
            actions: Actions 0 to 14, ``(N,)``.

        Raises:
            ValueError: If the shape or an action is off.
        """
        self._check(actions)
        return self._act(actions)

    def advance(
        self, actions: npt.NDArray[np.integer[Any]]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
        """Takes one action in every environment, like :meth:`step`, and asks nothing about ended episodes.

        For training, where Procgen's answer about hundreds of environments takes as long as their step.

        Returns:
            Rewards float32 ``(N,)``, frames as Procgen stores them, uint8 ``(N, 64, 64, 3)``, and whether each frame
            begins a new episode, bool ``(N,)``.
        """
        self._check(actions)
        self._env.act(actions)
        rewards, obs, first = self._env.observe()
        return rewards, obs["rgb"], first

    def _check(self, actions: npt.NDArray[np.integer[Any]]) -> None:
        if actions.shape != (self.num_envs,):
            raise ValueError(f"actions of shape {actions.shape}: expected ({self.num_envs},).")
        if actions.min() < 0 or actions.max() >= N_ACTIONS:
            raise ValueError(f"actions from {actions.min()} to {actions.max()}: expected 0 to {N_ACTIONS - 1}.")

    def state(self) -> list[bytes]:
        """Returns the whole state of each environment, its random streams included."""
        states: list[bytes] = self._env.get_state()
        return states

    def restore(self, states: Sequence[bytes]) -> npt.NDArray[np.uint8]:
        """Puts the environments into states that :meth:`state` returned, and returns their frames."""
        self._env.set_state(list(states))
        return self.observations()

    def half(self) -> ProcgenVecEnv:
        """Returns an environment of half as many slots, one group, to :meth:`restore` some of these states in.

        Procgen steps all of its slots or none. Where most have nothing left to do, the rest go on in this
        one, exactly as they would have here. It is built once.
        """
        if self._half is None:
            self._half = ProcgenVecEnv(
                self.game.name,
                self.num_envs // 2,
                levels=self.levels,
                rand_seed=self.rand_seed,
                mode=self.mode,
                num_threads=self._num_threads,
            )
        return self._half

    def force_reset(self) -> VecStep:
        """Ends every running episode and starts the next level in each environment."""
        return self._act(np.full(self.num_envs, FORCE_RESET))

    def render(self) -> npt.NDArray[np.uint8]:
        """Returns the 512x512 frames of all environments, uint8 ``(N, 512, 512, 3)``."""
        return np.stack([info["rgb"] for info in self._env.get_info()])

    def _act(self, actions: npt.NDArray[np.integer[Any]]) -> VecStep:
        self._env.act(actions)
        rewards, obs, first = self._env.observe()
        ends = None
        if first.any():
            infos = self._env.get_info()
            slots = np.flatnonzero(first)
            ends = EpisodeEnds(
                slots=slots,
                level_seeds=np.array([infos[i]["prev_level_seed"] for i in slots], np.int64),
                level_complete=np.array([bool(infos[i]["prev_level_complete"]) for i in slots]),
            )
        return VecStep(rewards, obs["rgb"].transpose(0, 3, 1, 2), first, ends)
