"""Trains an expert: builds the learner, and does what is due between two rollouts."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger, configure
from stable_baselines3.common.vec_env import VecNormalize

from d3rlpy_distill.errors import MissingExtraError
from d3rlpy_distill.files import save_tensors
from d3rlpy_distill.tasks import check_run

from ..env import ProcgenVecEnv
from ..errors import TrainingError
from ..expert import load_expert
from ..games import VALIDATION_LEVELS
from ..player import ProcgenPlayer
from .checkpoint import capture, load_checkpoint, restore, save_checkpoint
from .config import TrainExpertConfig
from .curve import CurvePoint, snapshot_path, write_curve
from .environment import NormalisedRewards, Sb3ProcgenEnv
from .phasic import PhasicPPO
from .policy import ImpalaPolicy, computes_bfloat16

__all__ = ["CHECKPOINT", "TrainResult", "build_learner", "train_expert"]

CHECKPOINT = "checkpoint.pt"
CURVE = "curve.csv"
EVENTS = "tensorboard"
"""Directory of TensorBoard's events."""


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """What a call of :func:`train_expert` reached.

    Args:
        weights: The network's, float32 on the CPU.
        curve: All points since the run's beginning.
        finished: Whether the steps asked for were taken; False if the time ran out first.
        initial_steps: Environment steps of the expert it started from; 0 for a random initialisation.
    """

    weights: Mapping[str, torch.Tensor]
    curve: tuple[CurvePoint, ...]
    finished: bool
    initial_steps: int

    @property
    def steps(self) -> int:
        """Environment steps of this run."""
        return self.curve[-1].steps if self.curve else 0


def train_expert(
    config: TrainExpertConfig,
    directory: str | Path,
    *,
    resume: bool = False,
    max_minutes: float | None = None,
    device: str = "cpu:0",
    tensorboard: bool = False,
    on_update: Callable[[CurvePoint], None] | None = None,
) -> TrainResult:
    """Trains with stable-baselines3's PPO and keeps a checkpoint after every phase, of PPO after every update.

    ``directory`` gets ``checkpoint.pt``, ``curve.csv`` and ``snapshots/STEPS.safetensors``. A run that was killed
    and resumed gives the same weights, bit for bit, as one that was not (on one machine, CPU, the same number of
    threads).

    Args:
        config: The settings.
        directory: Where the run lives.
        resume: Go on from its checkpoint. ``config`` must be that run's, but for ``steps``.
        max_minutes: Stop after the checkpoint before which this time runs out; there is at least one.
        device: torch device of the network.
        tensorboard: Also write TensorBoard events (extra ``tensorboard``).
        on_update: Called after every update, for progress.

    Raises:
        OutputExistsError: If there is a checkpoint and ``resume`` is False.
        TrainingError: If the checkpoint does not fit, or the initial expert does not.
    """
    directory = Path(directory)
    checkpoint = directory / CHECKPOINT
    if not resume:
        check_run(directory, resume=False, begun=[EVENTS])
    initial = _initial(config)
    identity = config.identity() | {"init_sha256": initial.sha256 if initial else None}
    saved = load_checkpoint(checkpoint, identity) if resume else None
    directory.mkdir(parents=True, exist_ok=True)
    env = Sb3ProcgenEnv(
        ProcgenVecEnv(
            config.game,
            config.envs,
            levels=config.levels,
            rand_seed=config.seed,
            mode=config.mode,
            num_threads=torch.get_num_threads(),
        ),
    )
    rewards = NormalisedRewards(env, norm_obs=False, clip_reward=config.reward_clip, gamma=config.gamma)
    model = build_learner(config, rewards, device)
    model.set_logger(_logger(directory) if tensorboard else Logger(None, []))
    if initial is not None:
        network: Any = model.policy.network
        network.load_state_dict(initial.network.float().state_dict())
    loop = _Loop(config, directory, identity, rewards, env, max_minutes, on_update)
    if saved is not None:
        restore(saved["learner"], model, rewards, env)
        loop.points = [CurvePoint(**point) for point in saved["curve"]]
    remaining = config.whole_steps - model.num_timesteps
    if remaining > 0:
        model.learn(remaining, loop, log_interval=None, reset_num_timesteps=saved is None)  # type: ignore[arg-type]
    steps_before = int(initial.card.get("environment_steps", 0)) if initial else 0
    return TrainResult(_weights(model.policy), tuple(loop.points), not loop.out_of_time, steps_before)


def _weights(policy: Any) -> dict[str, torch.Tensor]:
    return {k: v.detach().cpu().contiguous() for k, v in policy.network.state_dict().items()}


def _initial(config: TrainExpertConfig) -> Any:
    if config.init is None:
        return None
    expert = load_expert(config.init, dtype=torch.float32)
    if expert.card.get("game", config.game) != config.game:
        raise TrainingError(f"--init {config.init} plays {expert.card['game']}, not {config.game}.")
    if expert.architecture != config.architecture:
        raise TrainingError(
            f"--init {config.init} is of architecture {expert.architecture}, this run of {config.architecture}: "
            f"add --architecture {expert.architecture}."
        )
    return expert


def _logger(directory: Path) -> Logger:
    try:
        return configure(str(directory / EVENTS), ["tensorboard"])
    except AssertionError as error:  # stable-baselines3's way to say that it is not installed
        raise MissingExtraError(
            "--tensorboard needs TensorBoard; type: pip install 'd3rlpy-distill[tensorboard]'"
        ) from error


def build_learner(config: TrainExpertConfig, env: VecNormalize, device: str) -> PhasicPPO:
    """Returns a learner of the configuration, on environments with normalised rewards."""
    native = computes_bfloat16(torch.device(device))
    return PhasicPPO(
        config,
        policy=ImpalaPolicy,
        env=env,
        learning_rate=config.learning_rate,
        n_steps=config.horizon,
        batch_size=config.rollout // config.minibatches,
        n_epochs=config.epochs,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip,
        ent_coef=config.entropy,
        vf_coef=config.value,
        max_grad_norm=config.max_grad_norm,
        policy_kwargs={
            "architecture": config.architecture,
            "bfloat16": native if config.precision == "auto" else config.precision == "bfloat16",
            "channels_last": config.channels_last,
            "detached": config.phase > 0,
        },
        seed=config.seed,
        device=device,
    )


class _Loop(BaseCallback):
    """Between two rollouts: notes the curve, evaluates, keeps a checkpoint, and watches the clock."""

    def __init__(
        self,
        config: TrainExpertConfig,
        directory: Path,
        identity: dict[str, Any],
        rewards: VecNormalize,
        env: Sb3ProcgenEnv,
        max_minutes: float | None,
        on_update: Callable[[CurvePoint], None] | None,
    ) -> None:
        super().__init__()
        self.points: list[CurvePoint] = []
        self.out_of_time = False
        self._config = config
        self._directory = directory
        self._identity = identity
        self._rewards = rewards
        self._env = env
        self._on_update = on_update
        self._clock = time.perf_counter()
        self._deadline = None if max_minutes is None else self._clock + 60 * max_minutes
        self._player = ProcgenPlayer(
            config.game,
            {"validation": VALIDATION_LEVELS},
            config.evaluation_episodes,
            seed=config.seed,
            mode=config.mode,
        )

    def _on_step(self) -> bool:
        return not self.out_of_time

    def _on_rollout_start(self) -> None:
        self._between_rollouts()

    def _on_training_end(self) -> None:
        if not self.out_of_time:  # else the environments have gone a step beyond the checkpoint
            self._between_rollouts()

    def _between_rollouts(self) -> None:
        done = self.points[-1].steps if self.points else 0
        if self.num_timesteps == done:  # nothing was trained since the run began or was resumed
            if not (self._directory / CHECKPOINT).exists():
                self._keep()  # a run that is stopped in its first phase can be resumed like any other
            return
        every = self._config.evaluate_every
        due = self.num_timesteps // every > done // every or self.num_timesteps >= self._config.whole_steps
        validation = self._evaluate() if due else None
        self.points.append(self._point(validation))
        write_curve(self._directory / CURVE, self.points)
        if self._on_update is not None:
            self._on_update(self.points[-1])
        if self.num_timesteps % self._config.phase_steps:
            return  # the frames of a phase are not kept in a checkpoint
        self._keep()
        late = self._deadline is not None and time.perf_counter() >= self._deadline
        self.out_of_time = late and self.num_timesteps < self._config.whole_steps

    def _keep(self) -> None:
        state = {
            "learner": capture(self.model, self._rewards, self._env),  # type: ignore[arg-type]
            "curve": [dataclasses.asdict(point) for point in self.points],
        }
        save_checkpoint(self._directory / CHECKPOINT, self._identity, state)

    def _evaluate(self) -> float:
        path = snapshot_path(self._directory, self.num_timesteps)
        policy: Any = self.model.policy
        policy.set_training_mode(False)
        save_tensors(path, _weights(policy), overwrite=True)
        return float(self._player.play([policy], split="validation", mode="sampled").mean())

    def _point(self, validation: float | None) -> CurvePoint:
        logged = self.model.logger.name_to_value
        episodes = [episode["r"] for episode in self.model.ep_info_buffer or ()]
        now = time.perf_counter()
        before, self._clock = self._clock, now
        point = CurvePoint(
            steps=self.num_timesteps,
            seconds=(self.points[-1].seconds if self.points else 0.0) + now - before,
            train_return=float(np.mean(episodes)) if episodes else None,
            validation_return=validation,
            policy_loss=float(logged["train/policy_gradient_loss"]),
            value_loss=float(logged["train/value_loss"]),
            entropy=-float(logged["train/entropy_loss"]),
            approx_kl=float(logged["train/approx_kl"]),
            clip_fraction=float(logged["train/clip_fraction"]),
            explained_variance=float(logged["train/explained_variance"]),
        )
        for name, value in (("train", point.train_return), ("validation", validation)):
            if value is not None:
                self.model.logger.record(f"return/{name}", value)
        self.model.logger.dump(self.num_timesteps)
        return point
