"""Trains an expert by stable-baselines3: a checkpoint all the time, resumed where it stopped, exported in the end."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import torch

from ..errors import CheckpointError, DamagedFileError, MissingExtraError
from ..files import load_state, read_document, save_state, write_document
from ..policies import Policy
from .base import CHECKPOINT, check_run
from .gymnasium_snapshots import Snapshot, Snapshots
from .gymnasium_spaces import ActionLayout, ObservationLayout
from .gymnasium_starts import Starts

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

__all__ = ["Trained", "TrainingRun", "need_experts"]

SETTINGS = "settings.json"
SMALLEST_SIDE = 36  # of an image that stable-baselines3's CNN reads
LOG_INTERVAL = 4  # rollouts of PPO, episodes of SAC
REPLAY_COLUMNS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def need_experts(what: str) -> None:
    """Raises the error that says what to type where stable-baselines3 is missing.

    Raises:
        MissingExtraError: If it is.
    """
    if importlib.util.find_spec("stable_baselines3") is None:
        raise MissingExtraError(f"{what} needs stable-baselines3; type: pip install 'd3rlpy-distill[experts]'")


class TrainingEnv(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment as its students see it, whose episodes start anywhere in a range of seeds.

    Args:
        env: The environment.
        observations: How to read what it shows.
        actions: How to write what it is given.
        starts: Where episodes start.
        rng: Draws the starts.
        signs: Give the signs of the rewards.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        observations: ObservationLayout,
        actions: ActionLayout,
        starts: Starts,
        rng: np.random.Generator,
        signs: bool,
    ) -> None:
        super().__init__(env)
        self._observations, self._actions = observations, actions
        self._starts, self._rng, self._signs = starts, rng, signs
        pixels = observations.dtype == np.uint8
        low, high = (0, 255) if pixels else (-np.inf, np.inf)
        self.observation_space = gymnasium.spaces.Box(low, high, observations.shape, observations.dtype.type)
        if actions.discrete:
            self.action_space = gymnasium.spaces.Discrete(actions.size)
        else:
            self.action_space = gymnasium.spaces.Box(actions.low, actions.high, dtype=np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Starts an episode; ``seed`` is not read, as starts are drawn."""
        start = self._starts.first + int(self._rng.integers(self._starts.size))
        observation, info = self.env.reset(seed=start, options=options)
        return self._observations.read(observation), info

    def step(self, action: Any) -> Any:
        """Takes an action 0 to A - 1, or ``(D,)``."""
        observation, reward, terminated, truncated, info = self.env.step(self._actions.write(action))
        value = float(reward)
        value = float(np.sign(value)) if self._signs else value
        return self._observations.read(observation), value, terminated, truncated, info


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """What a training came to.

    Args:
        model: The result.
        steps: Environment steps that it was trained for.
        finished: Whether they are all that was asked for.
        snapshots: Of SAC on vectors.
    """

    model: BaseAlgorithm
    steps: int
    finished: bool
    snapshots: Snapshots | None


@dataclasses.dataclass(frozen=True)
class TrainingRun:
    """One training, of one directory.

    Args:
        task: The task's name.
        make: Makes an environment.
        observations: How to read what it shows.
        actions: How to write what it is given.
        starts: Where episodes start.
        algorithm: ``"ppo"`` or ``"sac"``.
        values: Its settings, see :func:`~.gymnasium_train_settings.resolve`.
        steps: Environment steps.
        seed: Fixes everything random; a run that was stopped and resumed is another one, though.
        signs: Train on the signs of the rewards, as is usual for Atari (Mnih et al. 2015).
        device: torch device.
    """

    task: str
    make: Callable[[], gymnasium.Env[Any, Any]]
    observations: ObservationLayout
    actions: ActionLayout
    starts: Starts
    algorithm: str
    values: dict[str, float]
    steps: int
    seed: int
    signs: bool
    device: str

    @property
    def sb3_device(self) -> str:
        """The device as stable-baselines3 knows it; torch cannot load a file onto ``cpu:0``."""
        return "cpu" if self.device.startswith("cpu") else self.device

    @property
    def has_vectors(self) -> bool:
        """Whether observations are vectors."""
        return len(self.observations.shape) == 1

    @property
    def keeps_actor(self) -> bool:
        """Whether the policy is a file of its own kind, see :mod:`.gymnasium_actor`, and so are its snapshots."""
        return self.algorithm == "sac" and self.has_vectors

    def identity(self) -> dict[str, Any]:
        """Returns what a checkpoint must agree with: everything but how long to train."""
        return {
            "task": self.task,
            "algorithm": self.algorithm,
            **self.values,
            "starts": [self.starts.first, self.starts.first + self.starts.size - 1],
            "reward_signs": self.signs,
            "seed": self.seed,
        }

    def train(
        self,
        directory: Path,
        *,
        resume: bool,
        max_minutes: float | None,
        tensorboard: bool,
        on_update: Callable[[int, str], None] | None,
        evaluate: Callable[[Policy], float],
    ) -> Trained:
        """Trains until the steps are taken or the time is over.

        ``directory`` gets ``settings.json`` and ``checkpoint.pt``, with SAC's replay buffer in it; each checkpoint is
        complete and sealed before it takes the place of the last. Resuming reads no pickled code. SAC on vectors
        leaves snapshots, too, see :class:`~.gymnasium_snapshots.Snapshots`.

        Args:
            directory: Where the run lives.
            resume: Go on from its checkpoint.
            max_minutes: Stop after this time.
            tensorboard: Also write TensorBoard events.
            on_update: Called with the environment steps so far and a note.
            evaluate: Returns the mean return of a snapshot's policy.

        Raises:
            OutputExistsError: If there is a checkpoint and ``resume`` is False.
            CheckpointError: If there is none to resume, it is damaged, or it is of other settings.
            MissingExtraError: If TensorBoard is asked for and not installed.
        """
        checkpoint = directory / CHECKPOINT
        check_run(directory, resume=resume, begun=[SETTINGS])
        if not resume:
            _remove_begun(directory / SETTINGS)
            check_run(directory, resume=False)
        state = self._load(directory) if resume else None
        done = 0 if state is None else int(state["steps"])
        model = self._model(done)
        snapshots = None
        if self.keeps_actor:
            snapshots = Snapshots(directory, int(self.values["snapshot_every"]), self.actions, evaluate)
        if state is not None:
            self._restore(model, snapshots, state, checkpoint)
        else:
            write_document(directory / SETTINGS, self.identity())
            _save(model, snapshots, directory)
        self._set_logger(model, directory, tensorboard)  # after the checkpoint, which makes the directory a run's
        if done >= self.steps:
            return Trained(model, done, True, snapshots)
        from .gymnasium_training_loop import Loop

        loop = Loop(self.steps, max_minutes, on_update, lambda: _save(model, snapshots, directory), snapshots)
        logged = LOG_INTERVAL if tensorboard else None
        model.learn(self.steps - done, loop, log_interval=logged, reset_num_timesteps=not resume)  # type: ignore[arg-type]
        return Trained(model, loop.saved, not loop.out_of_time, snapshots)

    def _model(self, done: int) -> BaseAlgorithm:
        from stable_baselines3 import PPO, SAC
        from stable_baselines3.common.monitor import Monitor
        from stable_baselines3.common.vec_env import DummyVecEnv

        from .gymnasium_sac import CapturedSac

        values = dict(self.values)
        envs = int(values.pop("envs"))
        values.pop("snapshot_every", None)
        streams = np.random.SeedSequence((self.seed, done)).spawn(envs)

        def maker(stream: np.random.SeedSequence) -> Callable[[], gymnasium.Env[Any, Any]]:
            def make() -> gymnasium.Env[Any, Any]:
                rng = np.random.default_rng(stream)
                # innermost, so that it tells the returns as they are
                env: gymnasium.Env[Any, Any] = Monitor(self.make())
                return TrainingEnv(env, self.observations, self.actions, self.starts, rng, self.signs)

            return make

        image = self.observations.is_image and min(self.observations.shape[1:]) >= SMALLEST_SIDE
        sac = CapturedSac if self.has_vectors else SAC
        algorithms: Mapping[str, Callable[..., BaseAlgorithm]] = {"ppo": PPO, "sac": sac}
        model = algorithms[self.algorithm](
            "CnnPolicy" if image else "MlpPolicy",
            DummyVecEnv([maker(stream) for stream in streams]),
            seed=(self.seed + done) % 2**31,
            device=self.sb3_device,
            policy_kwargs={"normalize_images": self.observations.dtype == np.uint8} if image else None,
            **values,
        )
        return model

    def _set_logger(self, model: BaseAlgorithm, directory: Path, tensorboard: bool) -> None:
        from stable_baselines3.common.logger import Logger, configure

        if not tensorboard:
            model.set_logger(Logger(None, []))
            return
        try:
            model.set_logger(configure(str(directory / "tensorboard"), ["tensorboard"]))
        except AssertionError as error:  # stable-baselines3's way to say that it is not installed
            raise MissingExtraError(
                "--tensorboard needs TensorBoard; type: pip install 'd3rlpy-distill[tensorboard]'"
            ) from error

    def _load(self, directory: Path) -> dict[str, Any]:
        """Reads the checkpoint, if it is this run's."""
        checkpoint = directory / CHECKPOINT
        try:
            known = read_document(directory / SETTINGS)
            state = load_state(checkpoint)
        except (OSError, DamagedFileError) as error:
            raise _damaged(checkpoint) from error
        given = json.loads(json.dumps(self.identity()))
        for key in sorted(known.keys() | given.keys()):
            if known.get(key) != given.get(key):
                raise CheckpointError(
                    f"{checkpoint} belongs to another run: it has {key} {known.get(key)!r}, this one "
                    f"{given.get(key)!r}; resume with the settings it was started with, or give another --out."
                )
        return state

    def _restore(
        self, model: BaseAlgorithm, snapshots: Snapshots | None, state: Mapping[str, Any], checkpoint: Path
    ) -> None:
        """Puts weights, optimizers and the memory of SAC back; nothing that is pickled is read."""
        from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

        try:
            model.set_parameters(state["parameters"], exact_match=True, device=self.sb3_device)
            for name, value in state["variables"].items():
                getattr(model, name).data = value.to(model.device)
            if isinstance(model, OffPolicyAlgorithm):
                _restore_replay(model, state["replay"])
            if snapshots is not None:
                snapshots.kept = [
                    Snapshot(*one) for one in state.get("snapshots", ())
                ]  # an earlier version had none
            model.num_timesteps = int(state["steps"])
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(checkpoint) from error


def _remove_begun(settings: Path) -> None:
    """Removes what a run left that was killed before its first checkpoint; a file that is not ours stays."""
    if not settings.is_symlink() and settings.is_file():
        with contextlib.suppress(DamagedFileError):
            read_document(settings)
            settings.unlink()


def _damaged(checkpoint: Path) -> CheckpointError:
    return CheckpointError(
        f"checkpoint {checkpoint} is damaged and cannot be resumed: copy it back from elsewhere, or start anew in "
        "another --out."
    )


def _save(model: BaseAlgorithm, snapshots: Snapshots | None, directory: Path) -> None:
    """Writes a checkpoint over the last one."""
    from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

    _, variables = model._get_torch_save_params()
    state = {
        "steps": model.num_timesteps,
        "parameters": model.get_parameters(),
        "variables": {name: getattr(model, name).detach().cpu() for name in variables},
        "replay": _replay(model) if isinstance(model, OffPolicyAlgorithm) else {},
        "snapshots": [] if snapshots is None else [dataclasses.astuple(one) for one in snapshots.kept],
    }
    save_state(directory / CHECKPOINT, state)


def _replay(model: OffPolicyAlgorithm) -> dict[str, torch.Tensor | int]:
    buffer: Any = model.replay_buffer
    filled = buffer.buffer_size if buffer.full else buffer.pos
    columns = {
        name: torch.from_numpy(np.ascontiguousarray(getattr(buffer, name)[:filled])) for name in REPLAY_COLUMNS
    }
    return {"position": int(buffer.pos), **columns}


def _restore_replay(model: OffPolicyAlgorithm, replay: Mapping[str, Any]) -> None:
    from .gymnasium_replay import PackedReplay

    buffer: Any = model.replay_buffer
    filled = len(replay["rewards"])
    for name in REPLAY_COLUMNS:
        getattr(buffer, name)[:filled] = replay[name].numpy()
    buffer.pos, buffer.full = int(replay["position"]), filled == buffer.buffer_size
    if isinstance(buffer, PackedReplay):
        buffer.restored()
