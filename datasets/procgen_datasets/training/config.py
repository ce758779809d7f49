"""The settings of a training run, Procgen's own by default."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from d3rlpy_distill.students.impala_encoder import ARCHITECTURES

from ..errors import TrainingSettingsError
from ..games import TRAIN_LEVELS, VALIDATION_LEVELS, Levels, get_game

__all__ = ["PRECISIONS", "TrainExpertConfig"]

PRECISIONS = ("auto", "bfloat16", "float32")

LEAST = {
    **dict.fromkeys(
        ("steps", "envs", "horizon", "epochs", "minibatches", "evaluate_every", "evaluation_episodes"), 1
    ),
    **dict.fromkeys(("phase", "annealing"), 0),
    **dict.fromkeys(("auxiliary_epochs", "auxiliary_batch"), 1),
}


@dataclasses.dataclass(frozen=True)
class TrainExpertConfig:
    r"""How an expert is trained: phasic policy gradient (Cobbe et al. 2021, arXiv 2009.04416) on one network.

    With ``phase=0``, ``epochs=3``, ``annealing=0`` and ``architecture="impala"`` it is PPO with the settings of Cobbe
    et al. 2020 (arXiv 1912.01588, appendix D).

    Args:
        game: One of the 16 games.
        architecture: One of :data:`~d3rlpy_distill.students.impala_encoder.ARCHITECTURES`.
        steps: Environment steps; whole phases of rollouts of ``envs * horizon`` are played.
        envs: Environments at once.
        horizon: Steps of each environment between two updates.
        epochs: Passes over a rollout in an update.
        phase: Rollouts between two auxiliary phases, which alone train the features on the value loss; 0 for PPO.
        auxiliary_epochs: Passes over a phase's rollouts in its auxiliary phase.
        auxiliary_batch: Frames of a gradient step in it, at most those of the phase; a divisor of their number.
        cloning: Weight of the divergence from the policy before the auxiliary phase.
        minibatches: Parts of a pass, each one gradient step.
        learning_rate: Adam's at the beginning.
        annealing: Steps over which it and ``entropy`` fall linearly to a tenth, where they stay; 0 for constants.
        gamma: Discount.
        gae_lambda: :math:`\lambda` of generalised advantage estimation.
        clip: :math:`\epsilon` of the clipped surrogate objective.
        entropy: Weight of the entropy bonus.
        value: Weight of the value loss.
        max_grad_norm: Gradients are scaled down to this norm.
        reward_clip: Rewards are divided by the running standard deviation of the discounted return and clipped
            to this size.
        levels: Levels to train on; they must not touch the validation levels 200-299.
        mode: ``"easy"`` or ``"hard"``.
        seed: Fixes the initial weights, the order of levels, the actions and the minibatches.
        init: Bundled expert or ``.safetensors`` file whose weights to start from.
        evaluate_every: Steps between two evaluations on the validation levels; a snapshot is kept of each.
        evaluation_episodes: Episodes of each.
        precision: ``"bfloat16"`` (autocast), ``"float32"``, or ``"auto"``: bfloat16 where it is computed natively.
        channels_last: Memory layout of the activations; the values are the same up to rounding.

    Raises:
        UnknownGameError: If the game is none of Procgen's.
        TrainingSettingsError: If a setting is out of range.
    """

    game: str
    architecture: str = "impala-s2d"
    steps: int = 25_000_000
    envs: int = 64
    horizon: int = 256
    epochs: int = 3
    phase: int = 0
    auxiliary_epochs: int = 2
    auxiliary_batch: int = 1024
    cloning: float = 1.0
    minibatches: int = 8
    learning_rate: float = 5e-4
    annealing: int = 0
    gamma: float = 0.999
    gae_lambda: float = 0.95
    clip: float = 0.2
    entropy: float = 0.01
    value: float = 0.5
    max_grad_norm: float = 0.5
    reward_clip: float = 10.0
    levels: Levels = TRAIN_LEVELS
    mode: str = "easy"
    seed: int = 0
    init: str | None = None
    evaluate_every: int = 500_000
    evaluation_episodes: int = 50
    precision: str = "auto"
    channels_last: bool = True

    def __post_init__(self) -> None:
        get_game(self.game)
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise TrainingSettingsError(f"{name}={getattr(self, name)}: expected {least} or more.")
        if self.architecture not in ARCHITECTURES:
            raise TrainingSettingsError(
                f"architecture={self.architecture!r}: expected one of {', '.join(ARCHITECTURES)}."
            )
        if self.precision not in PRECISIONS:
            raise TrainingSettingsError(f"precision={self.precision!r}: expected one of {', '.join(PRECISIONS)}.")
        if self.rollout % self.minibatches:
            raise TrainingSettingsError(
                f"minibatches={self.minibatches}: expected a divisor of {self.rollout}, the steps of a rollout "
                f"({self.envs} environments x {self.horizon})."
            )
        if self.phase and self.phase_steps % self.auxiliary_size:
            raise TrainingSettingsError(
                f"auxiliary_batch={self.auxiliary_batch}: expected a divisor of {self.phase_steps}, the steps of a "
                f"phase ({self.phase} rollouts of {self.rollout})."
            )
        if self.rollout // self.minibatches < 2:
            raise TrainingSettingsError(
                f"minibatches={self.minibatches}: minibatches of one step cannot be normalised; give fewer."
            )
        held_out = VALIDATION_LEVELS
        if self.levels.num == 0 or (
            self.levels.start < held_out.start + held_out.num
            and held_out.start < self.levels.start + self.levels.num
        ):
            raise TrainingSettingsError(
                f"training levels {_span(self.levels)} overlap the held-out validation levels {_span(held_out)}: "
                "give others, for example --start-level 0 --num-levels 200."
            )

    @property
    def rollout(self) -> int:
        """Environment steps between two updates."""
        return self.envs * self.horizon

    @property
    def phase_steps(self) -> int:
        """Environment steps between two checkpoints, which do not hold the frames of half a phase."""
        return max(1, self.phase) * self.rollout

    @property
    def auxiliary_size(self) -> int:
        """Frames of a gradient step in an auxiliary phase."""
        return min(self.auxiliary_batch, self.phase_steps)

    @property
    def whole_steps(self) -> int:
        """``steps``, rounded up to whole phases."""
        return -(-self.steps // self.phase_steps) * self.phase_steps

    def identity(self) -> dict[str, Any]:
        """Returns what a checkpoint must agree with: everything but how long to train.

        Settings that are newer than the oldest checkpoints are left out where they change nothing, so that those
        still agree.
        """
        values = dataclasses.asdict(self)
        del values["steps"]
        if self.phase == 0:
            for name in ("phase", "auxiliary_epochs", "auxiliary_batch", "cloning"):
                del values[name]
        if self.annealing == 0:
            del values["annealing"]
        return values

    @staticmethod
    def from_identity(identity: Mapping[str, Any], steps: int) -> TrainExpertConfig:
        """Returns the configuration that a checkpoint's identity tells of; what it lacks is off."""
        values = {"phase": 0, "annealing": 0} | dict(identity)
        values.pop("init_sha256", None)
        values["levels"] = Levels(**values["levels"])
        return TrainExpertConfig(steps=steps, **values)


def _span(levels: Levels) -> str:
    return f"{levels.start}-{levels.start + levels.num - 1}" if levels.num else "0-2147483647 (all)"
