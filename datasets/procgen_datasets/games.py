"""The 16 Procgen games, the range of their returns and their level splits."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from types import MappingProxyType

from d3rlpy_distill.errors import SettingsError

from .errors import UnknownGameError

__all__ = [
    "ALL_LEVELS",
    "GAMES",
    "N_ACTIONS",
    "TRAIN_LEVELS",
    "VALIDATION_LEVELS",
    "Game",
    "Levels",
    "get_game",
    "task_name",
]

N_ACTIONS = 15
"""Every game shares one action set: 0-8 are directions (4 stays put), 9-14 special keys."""


@dataclasses.dataclass(frozen=True)
class Game:
    """A Procgen game.

    Args:
        name: Name that Procgen knows it by.
        easy: Returns that normalise to 0 and to 1 in easy mode (Cobbe et al. 2020, appendix C).
        hard: The same in hard mode.
        time_limit: Steps after which Procgen ends an episode without flagging it.
    """

    name: str
    easy: tuple[float, float]
    hard: tuple[float, float]
    time_limit: int = 1000

    def normalise(self, value: float, mode: str = "easy") -> float:
        """Returns where a return lies between the lowest (0) and the highest (1) of ``"easy"`` or ``"hard"`` mode.

        Never clipped.
        """
        lowest, highest = self.hard if mode == "hard" else self.easy
        return (value - lowest) / (highest - lowest)


GAMES: Mapping[str, Game] = MappingProxyType(
    {
        game.name: game
        for game in (
            Game("bigfish", (1.0, 40.0), (0.0, 40.0), time_limit=6000),
            Game("bossfight", (0.5, 13.0), (0.5, 13.0), time_limit=4000),
            Game("caveflyer", (3.5, 12.0), (2.0, 13.4)),
            Game("chaser", (0.5, 13.0), (0.5, 14.2)),
            Game("climber", (2.0, 12.6), (1.0, 12.6)),
            Game("coinrun", (5.0, 10.0), (5.0, 10.0)),
            Game("dodgeball", (1.5, 19.0), (1.5, 19.0)),
            Game("fruitbot", (-1.5, 32.4), (-0.5, 27.2)),
            Game("heist", (3.5, 10.0), (2.0, 10.0)),
            Game("jumper", (3.0, 10.0), (1.0, 10.0)),
            Game("leaper", (3.0, 10.0), (1.5, 10.0), time_limit=500),
            Game("maze", (5.0, 10.0), (4.0, 10.0), time_limit=500),
            Game("miner", (1.5, 13.0), (1.5, 20.0)),
            Game("ninja", (3.5, 10.0), (2.0, 10.0)),
            Game("plunder", (4.5, 30.0), (3.0, 30.0), time_limit=4000),
            Game("starpilot", (2.5, 64.0), (1.5, 35.0)),
        )
    }
)


def task_name(game: str) -> str:
    """Returns the name of a game's task."""
    return f"procgen/{game}"


def get_game(name: str) -> Game:
    """Returns the game of that name.

    Raises:
        UnknownGameError: If there is none; the message names the nearest one.
    """
    if name in GAMES:
        return GAMES[name]
    nearest = difflib.get_close_matches(name.lower(), GAMES, n=1, cutoff=0.0)[0]
    raise UnknownGameError(
        f"unknown game {name!r}: did you mean {nearest!r}? The 16 Procgen games are {', '.join(GAMES)}."
    )


ALL = 1 << 31
"""Procgen's levels."""


@dataclasses.dataclass(frozen=True)
class Levels:
    """A range of level seeds.

    Args:
        start: First level seed.
        num: How many levels; 0 means all 2**31 of them, and Procgen then ignores ``start``.
    """

    start: int
    num: int

    def __post_init__(self) -> None:
        if not (0 <= self.start < ALL and 0 <= self.num < ALL):
            raise SettingsError(f"levels start={self.start}, num={self.num}: expected 0 to {ALL - 1} each.")
        if self.start + self.num > ALL:
            raise SettingsError(
                f"levels start={self.start}, num={self.num}: they end beyond {ALL - 1}, Procgen's last; give fewer."
            )
        if self.num == 0 and self.start != 0:
            raise SettingsError(
                f"levels start={self.start}, num=0: Procgen ignores the start when num is 0 (all levels); "
                "give a finite num for a held-out range."
            )

    def __contains__(self, seed: int) -> bool:
        return self.num == 0 or self.start <= seed < self.start + self.num


TRAIN_LEVELS = Levels(0, 200)
VALIDATION_LEVELS = Levels(200, 100)
"""The only levels on which anything (a hyper-parameter, a preset) may be chosen."""
ALL_LEVELS = Levels(0, 0)
"""Out-of-distribution evaluation: all levels, of which the 200 training levels are a negligible part."""
