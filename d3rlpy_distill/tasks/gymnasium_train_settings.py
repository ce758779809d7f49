"""Settings of training on gymnasium's environments: what a user gives, and what stands for what they leave out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from ..errors import SettingsError
from ..options import option
from .base import TrainSettings

__all__ = ["ALGORITHMS", "GymnasiumTrainSettings", "Tuned", "resolve", "train_settings_for"]

ALGORITHMS = ("ppo", "sac")


@dataclasses.dataclass(frozen=True, kw_only=True)
class GymnasiumTrainSettings(TrainSettings):
    """How stable-baselines3 trains an expert. What is None is that of the task, or else of stable-baselines3.

    Args, beside those of :class:`~.base.TrainSettings`:
        algorithm: ``"ppo"``, or ``"sac"`` for continuous actions.
        envs: Environments at once.
        learning_rate: Adam's.
        gamma: Discount.
        batch_size: Steps in a gradient step.
        n_steps: PPO: steps of each environment between two updates.
        n_epochs: PPO: passes over them.
        gae_lambda: PPO: lambda of generalised advantage estimation.
        ent_coef: PPO: weight of the entropy bonus.
        learning_starts: SAC: random steps before the first update.
        buffer_size: SAC: steps that it remembers.
        gradient_steps: SAC: updates after each step of the environments.
        snapshot_every: SAC on vectors: steps between two snapshots, which are played and kept.
    """

    algorithm: str | None = option(
        None, "Of stable-baselines3.  [default: ppo; sac for continuous actions]", choices=ALGORITHMS
    )
    envs: int | None = option(None, "Environments at once.  [default: 8; sac 1]", minimum=1)
    learning_rate: float | None = option(None, "Adam's.  [default: the task's, else 3e-4]", above=0)
    gamma: float | None = option(None, "Discount.  [default: the task's, else 0.99]", above=0, maximum=1)
    batch_size: int | None = option(None, "Steps in a gradient step.  [default: 64; sac 256]", minimum=2)
    n_steps: int | None = option(None, "ppo: steps of each environment between updates.", minimum=1)
    n_epochs: int | None = option(None, "ppo: passes in an update.", minimum=1)
    gae_lambda: float | None = option(None, "ppo: lambda of the advantages.", minimum=0, maximum=1)
    ent_coef: float | None = option(None, "ppo: weight of the entropy bonus.", minimum=0)
    learning_starts: int | None = option(None, "sac: random steps before the first update.", minimum=0)
    buffer_size: int | None = option(None, "sac: steps that it remembers.", minimum=1)
    gradient_steps: int | None = option(
        None, "sac: updates after each step of all environments.  [default: as many as environments]", minimum=1
    )
    snapshot_every: int | None = option(
        None, "sac on vectors: steps between two kept snapshots.  [default: 25,000]", minimum=1
    )


@dataclasses.dataclass(frozen=True)
class Tuned:
    """Settings that are known to solve a task.

    Args:
        algorithm: One of :data:`ALGORITHMS`.
        steps: Environment steps.
        values: Other fields of :class:`GymnasiumTrainSettings`.
    """

    algorithm: str
    steps: int
    values: Mapping[str, float] = dataclasses.field(default_factory=dict)


AS_ENVS = -1
"""As many updates as environments, as stable-baselines3 writes it."""

DEFAULTS: Mapping[str, Mapping[str, float]] = {
    "ppo": {
        "envs": 8,
        "learning_rate": 3e-4,
        "gamma": 0.99,
        "batch_size": 64,
        "n_steps": 2048,
        "n_epochs": 10,
        "gae_lambda": 0.95,
        "ent_coef": 0.0,
    },
    "sac": {
        "envs": 1,
        "learning_rate": 3e-4,
        "gamma": 0.99,
        "batch_size": 256,
        "learning_starts": 100,
        "buffer_size": 1_000_000,
        "gradient_steps": AS_ENVS,
        "snapshot_every": 25_000,
    },
}
"""stable-baselines3's own, but for the environments of PPO."""

ATARI = "Atari"
_MUJOCO = Tuned("sac", 1_000_000, {"learning_starts": 10_000, "envs": 8})
TUNED: Mapping[str, Tuned] = {
    "CartPole": Tuned(
        "ppo",
        100_000,
        {
            "n_steps": 32,
            "batch_size": 256,
            "n_epochs": 20,
            "gae_lambda": 0.8,
            "gamma": 0.98,
            "learning_rate": 1e-3,
        },
    ),
    "Acrobot": Tuned("ppo", 200_000, {"n_steps": 256, "gae_lambda": 0.94, "n_epochs": 4}),
    "LunarLander": Tuned(
        "ppo",
        1_000_000,
        {
            "envs": 16,
            "n_steps": 1024,
            "batch_size": 256,
            "gae_lambda": 0.98,
            "gamma": 0.999,
            "n_epochs": 4,
            "ent_coef": 0.01,
        },
    ),
    "Pendulum": Tuned("sac", 20_000, {"learning_rate": 1e-3}),
    "HalfCheetah": _MUJOCO,
    "Hopper": _MUJOCO,
    "Walker2d": _MUJOCO,
    "Ant": _MUJOCO,
    "Humanoid": _MUJOCO,
    ATARI: Tuned(
        "ppo",
        10_000_000,
        {"n_steps": 128, "batch_size": 256, "n_epochs": 4, "learning_rate": 2.5e-4, "ent_coef": 0.01},
    ),
}
"""By the name without its version; :data:`ATARI` stands for all of its games."""


def tuned_for(env_id: str, atari: bool) -> Tuned | None:
    """Returns what is known of an environment, or None."""
    name = re.sub(r"-v\d+$", "", env_id.rpartition(":")[2])
    return TUNED.get(ATARI if atari else name)


def train_settings_for(env_id: str, *, atari: bool) -> type[GymnasiumTrainSettings]:
    """Returns the settings' type, whose default number of steps is that of the environment."""
    tuned = tuned_for(env_id, atari)
    if tuned is None:
        return GymnasiumTrainSettings
    steps = option(tuned.steps, "Environment steps.", minimum=1)
    kind: type[GymnasiumTrainSettings] = dataclasses.make_dataclass(
        GymnasiumTrainSettings.__name__,
        [("steps", int, steps)],
        bases=(GymnasiumTrainSettings,),
        frozen=True,
        kw_only=True,
    )
    kind.__doc__ = GymnasiumTrainSettings.__doc__
    return kind


def resolve(
    settings: GymnasiumTrainSettings, env_id: str, *, discrete: bool, atari: bool
) -> tuple[str, dict[str, float]]:
    """Returns the algorithm and all its settings: given ones, else tuned ones, else stable-baselines3's.

    Raises:
        SettingsError: If the algorithm is not for such actions, or a setting is not its own.
    """
    tuned = tuned_for(env_id, atari)
    algorithm = settings.algorithm or ("ppo" if discrete else "sac")
    if algorithm == "sac" and discrete:
        raise SettingsError(f"algorithm='sac': {env_id} has discrete actions; give ppo.")
    values = dict(DEFAULTS[algorithm])
    if tuned is not None and tuned.algorithm == algorithm:
        values.update(tuned.values)
    for field in dataclasses.fields(GymnasiumTrainSettings):
        given = getattr(settings, field.name)
        if field.name in ("algorithm", "steps", "seed") or given is None:
            continue
        if field.name not in values:
            raise SettingsError(f"{field.name}={given}: {algorithm} has no such setting; leave it out.")
        values[field.name] = given
    return algorithm, values
