"""Procgen games as tasks: ``procgen/GAME``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from d3rlpy_distill.data import DatasetInfo
from d3rlpy_distill.errors import SettingsError, UnsuitableDatasetError
from d3rlpy_distill.options import option
from d3rlpy_distill.policies import DiscretePolicy, Policy, RandomPolicy
from d3rlpy_distill.tasks import CollectSettings, LoadedPolicy, Mode, Shot, Task, TrainedPolicy, TrainSettings

from .collect import CollectConfig, collect, is_collected
from .env import ProcgenVecEnv, procgen_build
from .expert import FRAME_SHAPE, load_policy, who_played
from .film import film
from .games import ALL_LEVELS, N_ACTIONS, TRAIN_LEVELS, VALIDATION_LEVELS, Levels, get_game, task_name
from .player import ProcgenPlayer

__all__ = ["ProcgenCollectSettings", "ProcgenTask"]

SPLIT_TITLES = {
    "id": "seen levels (ID)",
    "ood": "unseen levels (OOD)",
    "validation": "validation levels (200-299)",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProcgenCollectSettings(CollectSettings):
    """What a collection on Procgen takes.

    Args, beside those of :class:`~d3rlpy_distill.tasks.CollectSettings`:
        start_level: First level.
        num_levels: Levels; 0 means all there are.
        mode: ``"easy"`` or ``"hard"``.
    """

    start_level: int = option(0, "First level.", minimum=0)
    num_levels: int = option(200, "Levels; 0 means all there are.", minimum=0)
    mode: str = option("easy", "Difficulty.", choices=("easy", "hard"))

    @property
    def levels(self) -> Levels:
        """The range of levels.

        Raises:
            SettingsError: If there is no such range.
        """
        try:
            return Levels(self.start_level, self.num_levels)
        except ValueError as error:
            raise SettingsError(str(error)) from error


class ProcgenTask(Task):
    """A Procgen game on its level splits: ``id``, the training levels, ``ood``, all levels, and ``validation``.

    Args:
        game: One of the 16 games.
        levels: The training levels.
        mode: ``"easy"`` or ``"hard"``.
    """

    observation_shape = FRAME_SHAPE
    action_size = N_ACTIONS
    discrete = True
    splits = ("id", "ood", "validation")
    default_splits = ("id", "ood")
    default_student = "paper"
    collect_settings = ProcgenCollectSettings

    def __init__(self, game: str, *, levels: Levels = TRAIN_LEVELS, mode: str = "easy") -> None:
        self.game = get_game(game)
        super().__init__(task_name(game))
        self.default_policy = game
        self.levels = {"id": levels, "ood": ALL_LEVELS, "validation": VALIDATION_LEVELS}
        self.mode = mode
        self._players: dict[tuple[int, int], ProcgenPlayer] = {}  # kept: Procgen leaks what is destroyed

    def __getstate__(self) -> dict[str, Any]:
        """In another process it has environments of its own."""
        return {**self.__dict__, "_players": {}}

    def for_dataset(self, settings: Mapping[str, Any]) -> ProcgenTask:
        """Returns the task whose seen levels, and difficulty, are those that a dataset was recorded on."""
        levels, mode = settings.get("levels"), settings.get("distribution_mode")
        mode = "easy" if mode is None else mode
        whole = isinstance(levels, Mapping) and all(isinstance(one, int) for one in levels.values())
        if levels is not None and not (whole and levels.keys() == {"start", "num"}):
            raise UnsuitableDatasetError(
                f"the dataset was recorded on levels {levels!r}: expected a start and a num, whole numbers."
            )
        if mode not in ("easy", "hard"):
            raise UnsuitableDatasetError(f"the dataset was recorded with mode {mode!r}: expected easy or hard.")
        return ProcgenTask(self.game.name, levels=Levels(**levels) if levels else TRAIN_LEVELS, mode=mode)

    def expert_name(self, settings: Mapping[str, Any]) -> str | None:
        """Returns the policy that played a dataset, if its file is still there and still the same."""
        return who_played(settings)

    def split_title(self, split: str) -> str:
        """What tables call a split."""
        return SPLIT_TITLES[split]

    def play(
        self, policies: Sequence[Policy], *, split: str, mode: Mode, episodes: int, seed: int
    ) -> npt.NDArray[np.float64]:
        """See :meth:`d3rlpy_distill.tasks.Task.play`; at most 50 slots at once."""
        discrete = self._discrete(policies)
        key = (episodes, seed)
        if key not in self._players:
            self._players[key] = ProcgenPlayer(self.game.name, self.levels, episodes, seed=seed, mode=self.mode)
        return self._players[key].play(discrete, split=split, mode=mode)

    def random_policy(self) -> Policy:
        """Returns the policy that gives all 15 actions the same probability."""
        return RandomPolicy(N_ACTIONS)

    def load_policy(self, name: str, *, device: str = "cpu:0", trust: bool = False) -> LoadedPolicy:
        """Returns a bundled expert, an expert's or a student's ``.safetensors`` file, or ``"random"``."""
        return load_policy(name, self.game.name, device=device)

    def identity(self, splits: Sequence[str]) -> dict[str, Any]:
        """Returns the levels of each split and the difficulty."""
        levels = {split: dataclasses.asdict(self.levels[split]) for split in splits}
        return {"levels": levels, "distribution_mode": self.mode}

    def normalise(self, value: float) -> float:
        """Maps a return to the game's normalised score in this mode (Cobbe et al. 2020, appendix C)."""
        return self.game.normalise(value, self.mode)

    def versions(self) -> dict[str, str]:
        """Returns the installed Procgen distribution."""
        return {"environment_build": procgen_build()}

    def collect(
        self,
        settings: CollectSettings,
        path: Path,
        *,
        command: str = "",
        device: str = "cpu:0",
        trust: bool = False,
        on_episode: Callable[[], None] | None = None,
    ) -> DatasetInfo:
        """See :meth:`d3rlpy_distill.tasks.Task.collect`."""
        config = self._collection(settings)
        told = None if on_episode is None else lambda episode: on_episode()
        return collect(config, path, command=command, device=device, on_episode=told)

    def check_collection(
        self, settings: CollectSettings, path: Path, *, device: str = "cpu:0", trust: bool = False
    ) -> bool:
        """See :meth:`d3rlpy_distill.tasks.Task.check_collection`."""
        return is_collected(self._collection(settings), path, device=device)

    def settle(self, settings: CollectSettings) -> CollectSettings:
        """See :meth:`d3rlpy_distill.tasks.Task.settle`."""
        config = self._collection(settings)
        return dataclasses.replace(settings, policy=config.expert or self.game.name, envs=config.slots)

    def _collection(self, settings: CollectSettings) -> CollectConfig:
        assert isinstance(settings, ProcgenCollectSettings)
        try:
            return CollectConfig(
                self.game.name,
                settings.policy,
                settings.episodes,
                settings.levels,
                settings.mode,
                settings.greedy,
                settings.seed,
                settings.envs,
            )
        except ValueError as error:
            raise SettingsError(str(error)) from error

    def film(
        self, policies: Sequence[Policy], *, split: str, greedy: bool, seed: int, max_steps: int
    ) -> Iterator[Shot]:
        """See :meth:`d3rlpy_distill.tasks.Task.film`; frames of 512x512."""
        discrete = self._discrete(policies)
        env = ProcgenVecEnv(
            self.game.name,
            1,
            levels=self.levels[split],
            rand_seed=seed,
            mode=self.mode,
            copies=len(discrete),
            human_frames=True,
        )
        return film(env, discrete, greedy=greedy, seed=seed, max_steps=max_steps)

    def _discrete(self, policies: Sequence[Policy]) -> list[DiscretePolicy]:
        discrete = [policy for policy in policies if isinstance(policy, DiscretePolicy)]
        if len(discrete) < len(policies):
            raise SettingsError(f"{self.name} has discrete actions: expected policies that give logits.")
        return discrete

    def train_settings(self) -> type[TrainSettings]:
        """Returns the settings of PPO on Procgen."""
        from .training.command import ProcgenTrainSettings

        return ProcgenTrainSettings

    def train_expert(
        self,
        settings: TrainSettings,
        directory: Path,
        *,
        resume: bool = False,
        max_minutes: float | None = None,
        device: str = "cpu:0",
        tensorboard: bool = False,
        card_episodes: int = 200,
        on_update: Callable[[int, str], None] | None = None,
    ) -> tuple[list[TrainedPolicy], bool]:
        """See :meth:`d3rlpy_distill.tasks.Task.train_expert`; PPO of stable-baselines3 with the IMPALA network."""
        from .training.command import ProcgenTrainSettings, train_and_export

        assert isinstance(settings, ProcgenTrainSettings)
        return train_and_export(
            settings.config(self.game.name, device),
            directory,
            resume=resume,
            max_minutes=max_minutes,
            device=device,
            tensorboard=tensorboard,
            episodes=card_episodes,
            on_update=on_update,
        )
