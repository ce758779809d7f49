"""Plays an expert and writes what it did as a d3rlpy dataset."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from d3rlpy_distill.data import (
    DatasetInfo,
    EpisodeData,
    EpisodeWriter,
    Provenance,
    read_episodes,
    read_info,
    read_own,
)
from d3rlpy_distill.data.transitions import return_to_go
from d3rlpy_distill.errors import OutputExistsError
from d3rlpy_distill.files import check_output, claimed, write_document
from d3rlpy_distill.policies import DiscretePolicy
from d3rlpy_distill.tasks import PARTS, LoadedPolicy

from .env import ProcgenVecEnv, procgen_build
from .expert import load_policy
from .games import N_ACTIONS, TRAIN_LEVELS, Levels, get_game, task_name
from .rollout import RolloutEpisode, rollout, slot_quotas

__all__ = ["CollectConfig", "collect", "is_collected"]

MAX_SLOTS = 64  # more gain little in the forward pass and lose it to slots that wait for the last one
BLOCK_EPISODES = 16  # of each slot
RECORD = "collection.json"  # says that the directory of the blocks is ours to remove


@dataclasses.dataclass(frozen=True)
class CollectConfig:
    """What to collect.

    Args:
        game: One of the 16 games.
        expert: Bundled expert, path of a safetensors file, or ``"random"``; by default the one named as the game.
        episodes: Number of episodes, 1 or more.
        levels: Levels to play.
        mode: ``"easy"`` or ``"hard"``.
        greedy: Take the likeliest action instead of sampling.
        seed: Fixes the order of levels and the action sampling.
        num_slots: Environments at once; by default ``min(episodes, 64)``. Decides which levels are played.
    """

    game: str
    expert: str | None = None
    episodes: int = 100
    levels: Levels = TRAIN_LEVELS
    mode: str = "easy"
    greedy: bool = False
    seed: int = 0
    num_slots: int | None = None

    def __post_init__(self) -> None:
        get_game(self.game)
        if self.episodes < 1:
            raise ValueError(f"episodes={self.episodes}: expected 1 or more.")
        if self.num_slots is not None and not 1 <= self.num_slots <= self.episodes:
            raise ValueError(f"num_slots={self.num_slots}: expected 1 to {self.episodes}, the episodes.")
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"seed={self.seed}: expected 0 to 2**31 - 1.")

    @property
    def slots(self) -> int:
        """Number of environments that are played at once."""
        return self.num_slots or min(self.episodes, MAX_SLOTS)


def collect(
    config: CollectConfig,
    path: str | Path,
    *,
    command: str = "",
    device: str = "cpu:0",
    on_episode: Callable[[EpisodeData], None] | None = None,
) -> DatasetInfo:
    """Collects a dataset; returns at once if ``path`` already holds exactly this one.

    Collections of more than 16 episodes a slot are made in blocks, which are kept beside ``path`` until all are
    there: an interrupted call loses one block at most, and the next call goes on after the last.

    Args:
        config: What to collect.
        path: The file to make. It appears only when it is complete.
        command: Command line to record.
        device: torch device of the expert.
        on_episode: Called after each episode, for progress.

    Raises:
        ExpertError: If the expert cannot be loaded.
        OutputExistsError: If ``path`` holds anything else.
        InUseError: If another process is making it.
        OSError: If the file cannot be written.
    """
    expert, provenance = _planned(config, device, command)
    path = Path(path)
    with claimed(path):
        if path.exists():
            return read_own(path, provenance)
        _collect(config, expert, path, provenance, on_episode)
    return read_info(path)


def is_collected(config: CollectConfig, path: Path, *, device: str = "cpu:0") -> bool:
    """Tells whether a path holds just this collection already.

    Raises: those of :func:`collect`, as far as they can be known before it begins.
    """
    check_output(path, overwrite=True)
    _, provenance = _planned(config, device, "")
    return path.exists() and bool(read_own(path, provenance))


def _planned(config: CollectConfig, device: str, command: str) -> tuple[LoadedPolicy, Provenance]:
    """What plays, and what is recorded of it."""
    expert = load_policy(config.expert or config.game, config.game, device=device)
    return expert, Provenance("collected", task_name(config.game), N_ACTIONS, command, _settings(config, expert))


def _collect(
    config: CollectConfig,
    expert: LoadedPolicy,
    path: Path,
    provenance: Provenance,
    on_episode: Callable[[EpisodeData], None] | None,
) -> None:
    blocks = slot_quotas(config.episodes, -(-config.episodes // (config.slots * BLOCK_EPISODES)))
    if len(blocks) == 1:
        _write(_play(config, expert, 0, config.episodes), path, provenance, on_episode)
        return
    directory = path.with_name(path.name + PARTS)
    record = directory / RECORD
    if directory.exists() and not (record.exists() or (directory / "0.h5").exists()):  # version 0.1 kept no record
        raise OutputExistsError(f"{directory} is in the way, and not ours: move it, or give another --out.")
    with claimed(directory, directory=True):
        if not record.exists():
            write_document(record, {"made": "rld-distill collect"})
        parts = _collect_parts(config, expert, blocks.tolist(), directory, provenance, on_episode)
        with EpisodeWriter(path, provenance) as writer:
            for part in parts:
                for episode in read_episodes(part):
                    writer.write(episode)
        for file in (*parts, record):
            file.unlink()
    with contextlib.suppress(OSError):  # somebody keeps a file of theirs there
        directory.rmdir()


def _collect_parts(
    config: CollectConfig,
    expert: LoadedPolicy,
    blocks: list[int],
    directory: Path,
    provenance: Provenance,
    on_episode: Callable[[EpisodeData], None] | None,
) -> list[Path]:
    """Collects each block into a file of its own; those already there are kept."""
    parts = [directory / f"{block}.h5" for block in range(len(blocks))]
    for block, (part, episodes) in enumerate(zip(parts, blocks, strict=True)):
        mine = dataclasses.replace(provenance, settings={**provenance.settings, "block": block})
        if not part.exists():
            _write(_play(config, expert, block, episodes), part, mine, on_episode)
            continue
        known = read_info(part).provenance
        if known is None or known.settings != mine.settings:
            raise OutputExistsError(
                f"{directory} holds another collection that was interrupted: give another --out, "
                f"or remove it with 'rm -r {directory}'."
            )
        if on_episode is not None:
            for episode in read_episodes(part):
                on_episode(episode)
    return parts


def _play(config: CollectConfig, expert: LoadedPolicy, block: int, episodes: int) -> Iterator[EpisodeData]:
    """Plays one block; each has an order of levels of its own, the first one that of the seed itself."""
    seed = config.seed
    if block:
        seed = int(np.random.SeedSequence((config.seed, block)).generate_state(1)[0] >> 1)
    env = ProcgenVecEnv(
        config.game, min(config.slots, episodes), levels=config.levels, mode=config.mode, rand_seed=seed
    )
    policy = expert.policy
    assert isinstance(policy, DiscretePolicy)
    for episode in rollout(env, [policy], episodes, greedy=config.greedy, seed=seed, record=True):
        yield _episode_data(episode)


def _write(
    episodes: Iterable[EpisodeData],
    path: str | Path,
    provenance: Provenance,
    on_episode: Callable[[EpisodeData], None] | None,
) -> None:
    with EpisodeWriter(path, provenance) as writer:
        for episode in episodes:
            writer.write(episode)
            if on_episode is not None:
                on_episode(episode)


def _settings(config: CollectConfig, expert: LoadedPolicy) -> dict[str, Any]:
    of_file = config.expert is not None and Path(config.expert).suffix == ".safetensors"
    return {
        "environment": f"procgen:{config.game}",
        "environment_build": procgen_build(),
        "distribution_mode": config.mode,
        "levels": dataclasses.asdict(config.levels),
        **expert.about,
        **({"policy": config.expert} if of_file else {}),
        "actions": "greedy" if config.greedy else "sampled",
        "seed": config.seed,
        "num_slots": config.slots,
        "episodes": config.episodes,
    }


def _episode_data(episode: RolloutEpisode) -> EpisodeData:
    assert episode.steps is not None
    steps = episode.steps
    return EpisodeData(
        observations=steps.observations,
        actions=steps.actions,
        rewards=steps.rewards,
        terminated=not episode.timeout,
        info={
            "level_seed": episode.level_seed,
            "return": episode.episode_return,
            "length": episode.length,
            "timeout": episode.timeout,
            "level_complete": episode.level_complete,
        },
        steps={
            "return_to_go": return_to_go(steps.rewards),
            "action_probabilities": steps.probabilities,
        },
    )
