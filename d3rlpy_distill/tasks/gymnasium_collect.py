"""Records what a policy does on a gymnasium task as a d3rlpy dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..data import DatasetInfo, EpisodeData, EpisodeWriter, Provenance, read_info, read_own
from ..data.transitions import return_to_go
from ..errors import SettingsError
from ..files import check_output, claimed
from ..policies import SampledPolicy, UniformPolicy
from .base import CollectSettings, LoadedPolicy, Task
from .gymnasium_rollout import PlayedEpisode, Player
from .gymnasium_starts import STARTS

__all__ = ["collect", "is_collected"]

SPLIT = "train"


def collect(
    task: Task,
    player: Player,
    loaded: LoadedPolicy,
    settings: CollectSettings,
    *,
    slots: int,
    path: Path,
    command: str,
    on_episode: Callable[[], None] | None,
) -> DatasetInfo:
    """See :meth:`.gymnasium.GymnasiumTask.collect`.

    Args:
        task: What is played.
        player: Plays it.
        loaded: The policy.
        settings: How many episodes, and how.
        slots: Environments at once; episodes are written in the order in which they finish, which these decide.
        path: The file to make.
        command: Command line to record.
        on_episode: Called after each episode.
    """
    provenance, greedy = _provenance(task, loaded, settings, slots, command)
    starts = STARTS[SPLIT].of(settings.seed, settings.episodes)
    with claimed(path):
        if path.exists():
            return read_own(path, provenance)
        with EpisodeWriter(path, provenance) as writer:
            for episode in player.play(
                loaded.policy, starts, slots=slots, greedy=greedy, seed=settings.seed, record=True
            ):
                writer.write(_episode_data(episode))
                if on_episode is not None:
                    on_episode()
    return read_info(path)


def is_collected(task: Task, loaded: LoadedPolicy, settings: CollectSettings, *, slots: int, path: Path) -> bool:
    """Tells whether a path holds just this collection; see :func:`collect` for the arguments.

    Raises:
        OutputExistsError: If it holds anything else.
    """
    check_output(path, overwrite=True)
    provenance, _ = _provenance(task, loaded, settings, slots, "")
    return path.exists() and bool(read_own(path, provenance))


def _provenance(
    task: Task, loaded: LoadedPolicy, settings: CollectSettings, slots: int, command: str
) -> tuple[Provenance, bool]:
    """What a collection records, and whether its actions are the likeliest ones."""
    draws = task.discrete or isinstance(loaded.policy, SampledPolicy | UniformPolicy)
    if settings.greedy and isinstance(loaded.policy, UniformPolicy):
        raise SettingsError("greedy=True: random play has no likeliest action; leave --greedy out.")
    greedy = settings.greedy or not draws
    starts = STARTS[SPLIT].of(settings.seed, settings.episodes)
    about: dict[str, Any] = {
        **task.identity([SPLIT]),
        "versions": task.versions(),
        "policy": settings.policy or task.default_policy,
        **loaded.about,
        "actions": "greedy" if greedy else "sampled",
        "seed": settings.seed,
        "first_start": starts[0],
        "num_slots": slots,
        "episodes": settings.episodes,
    }
    return Provenance("collected", task.name, task.action_size, command, about), greedy


def _episode_data(episode: PlayedEpisode) -> EpisodeData:
    assert episode.steps is not None
    steps = episode.steps
    beside = {"return_to_go": return_to_go(steps.rewards)}
    if steps.probabilities is not None:
        beside["action_probabilities"] = steps.probabilities
    return EpisodeData(
        observations=steps.observations,
        actions=steps.actions,
        rewards=steps.rewards,
        terminated=not episode.timeout,
        info={
            "seed": episode.start,
            "return": episode.episode_return,
            "length": episode.length,
            "timeout": episode.timeout,
        },
        steps=beside,
    )
