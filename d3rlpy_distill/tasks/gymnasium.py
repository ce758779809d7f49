"""Every gymnasium id as a task: ``gym/ID``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from ..catalogue import TASKS
from ..data import DatasetInfo
from ..errors import DistillError, SettingsError
from ..files import claimed
from ..policies import ContinuousPolicy, DiscretePolicy, Policy, RandomPolicy, UniformPolicy
from .base import CollectSettings, LoadedPolicy, Mode, Shot, Task, TrainedPolicy, TrainSettings, check_run
from .gymnasium_bundled import EXPERT, bundled_policies
from .gymnasium_envs import leaves_traces, make_env, simulator_versions
from .gymnasium_rollout import Player
from .gymnasium_spaces import ActionLayout, ObservationLayout
from .gymnasium_starts import STARTS

__all__ = ["GymnasiumTask"]

RANDOM = "random"
SNAPSHOT_EPISODES = 10
SLOTS, IMAGE_SLOTS = 32, 8  # more gain nothing in a network's forward pass, and episodes of images take memory

REFERENCES = {
    "HalfCheetah": (-280.178953, 12135.0),
    "Hopper": (-20.272305, 3234.3),
    "Walker2d": (1.629008, 4592.3),
}
"""Returns of random play and of an expert: d4rl's (arXiv 2004.07219), measured on version 2 of these tasks."""

SPLIT_TITLES = {
    "train": "training starts (seeds 0-9,999)",
    "validation": "validation starts (seeds 10,000-19,999)",
    "test": "new starts (seeds from 20,000)",
}


class GymnasiumTask(Task):
    """An environment of gymnasium's, or of a subclass that overrides :meth:`make_env`.

    Observations are read as :class:`~.gymnasium_spaces.ObservationLayout` says, Atari's as
    :func:`~.gymnasium_envs.make_env` says. Continuous actions are clipped to the bounds of their space.

    Splits are disjoint ranges of the seeds that episodes are reset with: ``train``, where datasets are collected and
    experts trained; ``validation``, the only one to choose settings on; ``test``, which an evaluation plays. The starts
    of all three come from one distribution, so there is nothing like Procgen's unseen levels, and one set of returns
    says all. Episode e of a split always starts from the same state, whatever plays it, and however many environments
    are played at once.

    Args:
        env_id: Of gymnasium: ``"CartPole-v1"``, ``"ALE/Pong-v5"``, or ``"module:ID"``, which imports the module first.
        name: The task's whole name; by default the one under which its class is registered, else ``"gym/ID"``.

    Raises:
        UnknownNameError: If gymnasium has no such id; the message names the nearest.
        MissingExtraError: If its simulator is not installed; the message says what to type.
        DistillError: If it cannot be made, or its spaces are neither a ``Box`` nor a ``Discrete``.
    """

    splits = tuple(STARTS)
    default_splits = ("test",)

    def __init__(self, env_id: str, *, name: str | None = None) -> None:
        super().__init__(name or _registered_name(type(self), env_id))
        self.env_id = env_id
        env = self.make_env()
        self._observations = ObservationLayout.of(env.observation_space, self.name)
        self._actions = ActionLayout.of(env.action_space, self.name)
        self._versions = simulator_versions(env)
        self._atari = "ale-py" in self._versions
        self._player = self._new_player(env)
        self.observation_shape = self._observations.shape
        self.action_size = self._actions.size
        self.discrete = self._actions.discrete
        self.default_policy = EXPERT if EXPERT in bundled_policies(env_id) else None
        self.default_student = "nature" if self._observations.is_image else "mlp"

    def __getstate__(self) -> dict[str, Any]:
        """In another process it has environments of its own."""
        return {name: value for name, value in self.__dict__.items() if name != "_player"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._player = self._new_player()

    def _new_player(self, first: gymnasium.Env[Any, Any] | None = None) -> Player:
        again = leaves_traces(self.env_id)
        return Player(self.make_env, self._observations, self._actions, new_each_time=again, first=first)

    def make_env(self) -> gymnasium.Env[Any, Any]:
        """Returns a new environment. A task with one of its own overrides this; it is called from the constructor.

        ``reset(seed=...)`` must fix an episode, up to what its actions decide.
        """
        return make_env(self.env_id)

    def drawn_env(self) -> gymnasium.Env[Any, Any]:
        """Returns a new environment whose ``render`` gives frames, uint8 ``(H, W, 3)``, for :meth:`film`.

        One of a task's own is asked to draw as it is; a task whose environments take another ``render_mode`` for that
        overrides this.
        """
        own = type(self).make_env is not GymnasiumTask.make_env
        return self.make_env() if own else make_env(self.env_id, render_mode="rgb_array")

    @property
    def action_bounds(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None:
        """Smallest and largest values of a continuous action, ``(D,)`` each; None where actions are discrete."""
        return None if self.discrete else (self._actions.low, self._actions.high)

    def expert_name(self, settings: Mapping[str, Any]) -> str | None:
        """Returns the policy that played a dataset, if its file is still there and still the same."""
        from .gymnasium_policies import file_sha256

        name: str | None = settings.get("policy")
        if name is None or name == RANDOM:
            return name
        path = bundled_policies(self.env_id).get(name, Path(name))
        return name if path.is_file() and file_sha256(path) == settings.get("expert_sha256") else None

    def split_title(self, split: str) -> str:
        """What tables call a split."""
        return SPLIT_TITLES[split]

    def play(
        self, policies: Sequence[Policy], *, split: str, mode: Mode, episodes: int, seed: int
    ) -> npt.NDArray[np.float64]:
        """See :meth:`~.base.Task.play`; column e holds the returns of episode e, to the precision of float32.

        One policy plays after the other, each on up to 32 environments at once, or 8 that show images. Random streams
        belong to episodes and are the same for every policy, so what one does changes nothing for another.

        Raises:
            SettingsError: If a policy is for the other kind of actions, or there is no such split, mode or episode.
            DistillError: If a policy is for other actions, or gives NaN.
        """
        if split not in STARTS:
            raise SettingsError(f"split={split!r}: expected one of {', '.join(STARTS)}.")
        if mode not in self.modes:
            raise SettingsError(f"mode={mode!r}: expected {' or '.join(self.modes)} for {self.name}.")
        for policy in policies:
            self._check_kind(policy)
        starts = STARTS[split].of(seed, episodes)
        returns = np.empty((len(policies), episodes))
        for row, policy in zip(returns, policies, strict=True):
            for episode in self._player.play(
                policy, starts, slots=self._slots, greedy=mode == "greedy", seed=seed
            ):
                # in float32, as d3rlpy keeps rewards: files of results take half the space
                row[episode.number] = np.float32(episode.episode_return)
        return returns

    def film(
        self, policies: Sequence[Policy], *, split: str, greedy: bool, seed: int, max_steps: int
    ) -> Iterator[Shot]:
        """See :meth:`~.base.Task.film`; episodes are the first that :meth:`play` plays, drawn as the environment does.

        Raises:
            SettingsError: If a policy is for the other kind of actions.
            DistillError: If the environment cannot be drawn.
        """
        for policy in policies:
            self._check_kind(policy)
        player = Player(
            self.drawn_env, self._observations, self._actions, new_each_time=leaves_traces(self.env_id)
        )
        start = STARTS[split].of(seed, 1)[0]
        return player.film(policies, start, greedy=greedy, seed=seed, max_steps=max_steps)

    @property
    def _slots(self) -> int:
        return IMAGE_SLOTS if self._observations.is_image else SLOTS

    def _check_kind(self, policy: Policy) -> None:
        if not isinstance(policy, DiscretePolicy if self.discrete else ContinuousPolicy):
            kind, gives = ("discrete", "logits") if self.discrete else ("continuous", "actions")
            raise SettingsError(
                f"{self.name} has {kind} actions: expected policies that give {gives}, not {type(policy).__name__}."
            )

    def random_policy(self) -> Policy:
        """Returns the policy of uniformly random actions.

        Raises:
            DistillError: If a continuous action has no bounds.
        """
        if self.discrete:
            return RandomPolicy(self.action_size)
        low, high = self._actions.low, self._actions.high
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise DistillError(f"{self.name} has actions without bounds: expected a policy other than random.")
        return UniformPolicy(low, high, seed=0)

    def load_policy(self, name: str, *, device: str = "cpu:0", trust: bool = False) -> LoadedPolicy:
        """Returns ``"random"`` play, a bundled policy, or that of a file.

        Args:
            name: ``"random"``; ``"expert"`` or ``"medium"`` where they are bundled; a student's or an actor's
                ``.safetensors``; stable-baselines3's ``.zip`` (its logits for discrete actions, certainty for DQN's,
                the mean for continuous ones; what a ``VecNormalize`` beside it did to the observations is not in it);
                d3rlpy's ``.d3``.
            device: torch device.
            trust: Load ``.zip`` and ``.d3``, which hold pickled code.
        """
        if name == RANDOM:
            return LoadedPolicy(RANDOM, self.random_policy(), about={"expert": RANDOM})
        from .gymnasium_policies import load_policy_file

        path = bundled_policies(self.env_id).get(name, Path(name))
        return load_policy_file(
            path, self.observation_shape, self.action_size, self.discrete, device=device, trust=trust
        )

    def identity(self, splits: Sequence[str]) -> dict[str, Any]:
        """Returns the environment, and for each split the first and the last of its seeds."""
        seeds = {split: [STARTS[split].first, STARTS[split].first + STARTS[split].size - 1] for split in splits}
        return {"environment": f"gymnasium:{self.env_id}", "seeds": seeds}

    def normalise(self, value: float) -> float | None:
        """Maps a return to d4rl's normalised score where d4rl has references, 0 for random play, 1 for an expert."""
        references = REFERENCES.get(re.sub(r"-v\d+$", "", self.env_id))
        if references is None:
            return None
        random, expert = references
        return (value - random) / (expert - random)

    def versions(self) -> dict[str, str]:
        """Returns the versions of gymnasium and of what simulates the environment."""
        return dict(self._versions)

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
        """See :meth:`~.base.Task.collect`; episodes start from the ``train`` seeds.

        Recorded of each step: the return-to-go and, of discrete actions, the policy's probabilities; of each episode:
        its return, length and reset seed, and whether it was cut. Continuous actions are recorded as the environment
        got them, within their bounds; of an actor, they are sampled unless ``greedy`` is asked for.

        Raises:
            SettingsError: If no policy is given, or there are not so many starts.
            OutputExistsError: If ``path`` holds anything else.
        """
        from .gymnasium_collect import collect

        return collect(
            self,
            self._player,
            self._collected(settings, device, trust),
            settings,
            slots=self._envs(settings),
            path=path,
            command=command,
            on_episode=on_episode,
        )

    def check_collection(
        self, settings: CollectSettings, path: Path, *, device: str = "cpu:0", trust: bool = False
    ) -> bool:
        """See :meth:`~.base.Task.check_collection`."""
        from .gymnasium_collect import is_collected

        loaded = self._collected(settings, device, trust)
        return is_collected(self, loaded, settings, slots=self._envs(settings), path=path)

    def settle(self, settings: CollectSettings) -> CollectSettings:
        """See :meth:`~.base.Task.settle`; no policy is the task's own."""
        return dataclasses.replace(settings, envs=self._envs(settings))

    def _envs(self, settings: CollectSettings) -> int:
        return min(settings.envs or self._slots, settings.episodes)

    def _collected(self, settings: CollectSettings, device: str, trust: bool) -> LoadedPolicy:
        """What plays a collection."""
        name = settings.policy or self.default_policy
        if name is None:
            raise SettingsError(
                f"{self.name} has no bundled expert: give --policy random, or the file of a policy, which "
                f"'rld-distill train-expert {self.name}' trains."
            )
        loaded = self.load_policy(name, device=device, trust=trust)
        self._check_kind(loaded.policy)
        return loaded

    def check_training(self, directory: Path, *, resume: bool = False) -> None:
        """See :meth:`~.base.Task.check_training`."""
        from .gymnasium_training import SETTINGS

        check_run(directory, resume=resume, begun=[SETTINGS])

    def train_settings(self) -> type[TrainSettings]:
        """Returns the settings of stable-baselines3's PPO and SAC, with this task's number of steps."""
        from .gymnasium_train_settings import train_settings_for
        from .gymnasium_training import need_experts

        need_experts(f"training on {self.name}")
        return train_settings_for(self.env_id, atari=self._atari)

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
        """See :meth:`~.base.Task.train_expert`; PPO or SAC of stable-baselines3, on the ``train`` seeds.

        ``directory`` gets ``policy.zip``, which :meth:`load_policy` reads, and ``policy.json``, which says how it was
        trained and what it returns. SAC on vectors leaves ``policy.safetensors`` instead, and snapshots with their
        returns in ``curve.csv``. If there were snapshots, it also leaves ``medium.safetensors``, the one nearest to a
        third of the way from random play to the expert, and ``medium-replay.h5``, all that was played until then.

        Runs of the same settings and seed are equal on one machine; a run that was stopped and resumed goes on from
        the same weights, but with other starts and actions.
        """
        from .gymnasium_export import export, export_medium
        from .gymnasium_train_settings import GymnasiumTrainSettings, resolve
        from .gymnasium_training import TrainingRun, need_experts

        need_experts(f"training on {self.name}")
        STARTS["train"].of(settings.seed, card_episodes)  # refused before the training, and not after it
        if not isinstance(settings, GymnasiumTrainSettings):
            raise SettingsError(
                f"{type(settings).__name__}: expected those of {self.name}, from train_settings()."
            )
        algorithm, values = resolve(settings, self.env_id, discrete=self.discrete, atari=self._atari)
        run = TrainingRun(
            self.name,
            self.make_env,
            self._observations,
            self._actions,
            STARTS["train"],
            algorithm,
            values,
            steps=settings.steps,
            seed=settings.seed,
            signs=self._atari,
            device=device,
        )

        def evaluate(policy: Policy) -> float:
            arguments: dict[str, Any] = {"mode": self.modes[-1], "episodes": SNAPSHOT_EPISODES}
            return float(self.play([policy], split="validation", seed=settings.seed, **arguments).mean())

        with claimed(directory, directory=True):
            trained = run.train(
                directory,
                resume=resume,
                max_minutes=max_minutes,
                tensorboard=tensorboard,
                on_update=on_update,
                evaluate=evaluate,
            )
            policies = [export(self, run, trained, directory, card_episodes, evaluate)]
            policies += export_medium(self, run, trained, directory, card_episodes, evaluate)
            return policies, trained.finished


def _registered_name(kind: type[GymnasiumTask], env_id: str) -> str:
    """Returns the name of a plug-in's task, which is registered under it or under what stands before the slash."""
    if kind is not GymnasiumTask:
        for entry in TASKS.entries():
            if entry.target in (kind, f"{kind.__module__}:{kind.__qualname__}"):
                return entry.name if "/" in entry.name else f"{entry.name}/{env_id}"
    return f"gym/{env_id}"
