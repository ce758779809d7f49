"""A task: what policies are played on, and how their returns are to be read."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from ..catalogue import TASKS
from ..data import DatasetInfo
from ..errors import CheckpointError, DistillError, OutputExistsError, UnknownNameError
from ..files import LOCK, check_directory, check_output
from ..options import check_options, option
from ..policies import Policy

if TYPE_CHECKING:
    from d3rlpy.algos import DiscreteBC

__all__ = [
    "CHECKPOINT",
    "MODES",
    "PARTS",
    "CollectSettings",
    "LoadedPolicy",
    "Mode",
    "Shot",
    "Task",
    "TrainSettings",
    "TrainedPolicy",
    "check_run",
    "make_task",
]

Mode = Literal["sampled", "greedy"]
MODES: tuple[Mode, ...] = ("sampled", "greedy")
"""How discrete actions are chosen; policies of continuous actions have one mode, ``"greedy"``."""

CHECKPOINT = "checkpoint.pt"
"""File of a training in its directory: where it is, ``resume`` goes on."""
PARTS = ".parts"
"""Ending of a directory beside a collection's file: what is whole of it is kept there until all is."""


@dataclasses.dataclass(frozen=True, eq=False)
class LoadedPolicy:
    """A policy from a file, and what is known of it.

    Args:
        name: What it is called, without its path.
        policy: The policy.
        sha256: Hash of its file, hexadecimal; None for one that has none, such as random play.
        about: What a dataset records of it (JSON values).
        learner: Returns it as a d3rlpy learner, to match gradients at its weights; None where it is no such network.
    """

    name: str
    policy: Policy
    sha256: str | None = None
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    learner: Callable[[], DiscreteBC] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class CollectSettings:
    """How a dataset is collected. A task's own settings are a subclass; fields made by ``option`` are options.

    Args:
        policy: What plays: the name or the file of a policy, or ``"random"``; None takes the task's own.
        episodes: Episodes to play.
        greedy: Take the likeliest action instead of sampling.
        envs: Environments at once, at most ``episodes``; None takes the task's own number.
        seed: Fixes the starts and the sampling of actions.
    """

    policy: str | None = option(None, "What plays: a name, a file or random.  [default: the task's expert]")
    episodes: int = option(100, "Episodes to play.", minimum=1)
    greedy: bool = option(False, "Take the likeliest action instead of sampling.")
    envs: int | None = option(None, "Environments at once.", minimum=1)
    seed: int = option(0, "Fixes everything random.", minimum=0, below=2**31)

    def __post_init__(self) -> None:
        check_options(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How an expert is trained. A task's own settings are a subclass; fields made by ``option`` are options.

    Args:
        steps: Environment steps.
        seed: Fixes everything random.
    """

    steps: int = option(1_000_000, "Environment steps.", minimum=1)
    seed: int = option(0, "Fixes everything random.", minimum=0, below=2**31)

    def __post_init__(self) -> None:
        check_options(self)


@dataclasses.dataclass(frozen=True)
class TrainedPolicy:
    """An expert that a training left behind.

    Args:
        path: Its file.
        steps: Environment steps that it was trained for.
        returns: Mean return by split, actions as ``collect`` takes them by default.
    """

    path: Path
    steps: int
    returns: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Shot:
    """One moment of P policies that are filmed.

    Args:
        frames: uint8 ``(P, H, W, 3)``; where a policy's episode is over, its last frame.
        returns: Returns so far, ``(P,)``.
        over: Whose episode is over, bool ``(P,)``.
    """

    frames: npt.NDArray[np.uint8]
    returns: npt.NDArray[np.float64]
    over: npt.NDArray[np.bool_]


class Task(abc.ABC):
    """A task. Equal calls of :meth:`play` play equal episodes, whatever the policies are.

    Args:
        name: The whole name, for example ``"procgen/starpilot"``.
    """

    observation_shape: tuple[int, ...]
    """Of one observation, as networks read it: images channel-first."""
    action_size: int
    """Number of discrete actions, or of the dimensions of a continuous one."""
    discrete: bool
    """Whether actions are discrete."""
    splits: tuple[str, ...]
    """All sets of starts that it can be played on, those to choose settings on included."""
    default_splits: tuple[str, ...]
    """Those that an evaluation plays."""
    default_student: str = "mlp"
    """Name of the student that an evaluation trains unless told otherwise."""
    collect_settings: type[CollectSettings] = CollectSettings
    """What ``collect`` takes."""
    default_policy: str | None = None
    """What ``collect`` plays unless told otherwise; None where that has to be named."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def modes(self) -> tuple[Mode, ...]:
        """How actions are chosen, in the order of the tables."""
        return MODES if self.discrete else ("greedy",)

    def for_dataset(self, settings: Mapping[str, Any]) -> Task:
        """Returns the task as a dataset was recorded on it.

        Args:
            settings: Of the dataset's provenance: seeds or levels, difficulty.
        """
        return self

    def expert_name(self, settings: Mapping[str, Any]) -> str | None:
        """Returns the policy that played a dataset, as :meth:`load_policy` takes it; None where nobody knows."""
        name: str | None = settings.get("expert")
        return name

    def split_title(self, split: str) -> str:
        """What tables call a split."""
        return split

    @abc.abstractmethod
    def play(
        self, policies: Sequence[Policy], *, split: str, mode: Mode, episodes: int, seed: int
    ) -> npt.NDArray[np.float64]:
        """Plays episodes and returns their returns, a row for each policy: ``(P, episodes)``.

        The first episodes of each environment slot count, no more: a pool of whichever finish first would be
        biased to short ones.

        Args:
            policies: P policies; each draws its actions from a stream of its own.
            split: One of ``splits``.
            mode: One of ``modes``.
            episodes: Episodes of each policy.
            seed: Fixes the starts and the sampling of actions.
        """

    @abc.abstractmethod
    def random_policy(self) -> Policy:
        """Returns the policy of random actions."""

    @abc.abstractmethod
    def load_policy(self, name: str, *, device: str = "cpu:0", trust: bool = False) -> LoadedPolicy:
        """Returns a policy from a file, or a bundled one by its name, or ``"random"``.

        Args:
            name: Path or name.
            device: torch device.
            trust: Load files that hold pickled code, too.

        Raises:
            UntrustedFileError: If the file holds pickled code and is not trusted.
            DistillError: If there is no such policy, or it does not fit the task.
        """

    @abc.abstractmethod
    def identity(self, splits: Sequence[str]) -> dict[str, Any]:
        """Returns what decides how these splits are played (JSON values): seeds, levels, difficulty."""

    def normalise(self, value: float) -> float | None:
        """Maps a return to the task's normalised score, 0 to 1 between its references; None where it has none."""
        return None

    def versions(self) -> dict[str, str]:
        """Returns the versions of what simulates it, to record."""
        return {}

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
        """Plays a policy and writes what it did as a dataset; returns at once if ``path`` holds just this one.

        Args:
            settings: Of the type ``collect_settings``.
            path: The file to make. It appears only when it is complete.
            command: Command line to record.
            device: torch device of the policy.
            trust: See :meth:`load_policy`.
            on_episode: Called after each episode, for progress.

        Raises:
            OutputExistsError: If ``path`` holds anything else.
        """
        raise DistillError(f"{self.name} cannot be collected: its plug-in gives no way to record episodes.")

    def settle(self, settings: CollectSettings) -> CollectSettings:
        """Returns the settings with the task's own values where they say None.

        Args:
            settings: Of the type ``collect_settings``.

        Raises:
            SettingsError: If they do not go together.
        """
        return settings

    def check_collection(
        self, settings: CollectSettings, path: Path, *, device: str = "cpu:0", trust: bool = False
    ) -> bool:
        """Tells whether :meth:`collect` would find its own work at a path, and have nothing to do.

        Args: those of :meth:`collect`.

        Raises: those of :meth:`collect`, as far as they can be known before it begins.
        """
        check_output(path, overwrite=True)
        return False

    def film(
        self, policies: Sequence[Policy], *, split: str, greedy: bool, seed: int, max_steps: int
    ) -> Iterator[Shot]:
        """Yields shots of one episode of each policy, all from the same start, until all are over.

        Args:
            policies: P policies.
            split: One of ``splits``.
            greedy: Take the likeliest action instead of sampling.
            seed: Fixes the start and the sampling of actions.
            max_steps: Steps at most.
        """
        raise DistillError(f"{self.name} cannot be filmed: its plug-in draws no frames.")

    def check_training(self, directory: Path, *, resume: bool = False) -> None:
        """Refuses a directory that :meth:`train_expert` would refuse; see :func:`check_run`."""
        check_run(directory, resume=resume)

    def train_settings(self) -> type[TrainSettings]:
        """Returns what :meth:`train_expert` takes.

        Raises:
            MissingExtraError: If a package that training needs is not installed.
            DistillError: If the task has no training.
        """
        raise DistillError(f"no expert can be trained on {self.name}: its plug-in gives no way to.")

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
        """Trains an expert, keeps a checkpoint all the time, and exports it with its returns.

        Args:
            settings: Of the type that :meth:`train_settings` returns.
            directory: Where the run lives.
            resume: Go on from its checkpoint.
            max_minutes: Stop after this time; resuming goes on.
            device: torch device.
            tensorboard: Also write TensorBoard events.
            card_episodes: Episodes for each return on the card.
            on_update: Called with the environment steps so far and a note, for progress.

        Returns:
            The experts, and whether the steps asked for were taken.
        """
        raise DistillError(f"no expert can be trained on {self.name}: its plug-in gives no way to.")


def check_run(directory: Path, *, resume: bool, begun: Sequence[str] = ()) -> None:
    """Refuses a directory that no training can be begun in, or resumed from.

    Args:
        directory: Where the run is to live; it need not exist.
        resume: Whether it goes on from a checkpoint there.
        begun: Files that a run leaves which ended before its first checkpoint.

    Raises:
        OutputExistsError: If there is a checkpoint that is not to be resumed, or something else.
        OutputPathError: If nothing can be written there.
        CheckpointError: If there is none to resume.
    """
    check_directory(directory)
    checkpoint = directory / CHECKPOINT
    if resume:
        if not checkpoint.exists():
            raise CheckpointError(
                f"--resume: {checkpoint} does not exist; leave --resume out to start a new run there."
            )
        return
    if checkpoint.exists():
        raise OutputExistsError(
            f"{checkpoint} holds a run already: add --resume to go on with it, or give another --out."
        )
    if directory.is_dir() and any(one.name not in (LOCK, *begun) for one in directory.iterdir()):
        raise OutputExistsError(f"{directory} is not empty and holds no run: give another --out.")


def make_task(name: str) -> Task:
    """Returns the task of a name: ``"procgen/starpilot"``, ``"gym/CartPole-v1"`` or that of a plug-in.

    Raises:
        UnknownNameError: If there is none; the message names the nearest.
    """
    entry = TASKS.find(name)
    if entry is not None and "/" in entry.name:
        return entry.load()(entry.name.partition("/")[2])
    space, slash, rest = name.partition("/")
    if slash and rest and TASKS.find(space) is not None:
        return TASKS.get(space)(rest)
    import gymnasium  # takes long

    if name in gymnasium.registry:
        raise UnknownNameError(
            f"unknown task {name!r}: did you mean 'gym/{name}'? It has its namespace before it."
        )
    raise TASKS.unknown(name)
