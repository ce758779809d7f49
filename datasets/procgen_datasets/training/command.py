"""Training an expert as ``rld-distill train-expert procgen/GAME`` does it: train, play, export."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from d3rlpy_distill.errors import SettingsError
from d3rlpy_distill.files import claimed
from d3rlpy_distill.learners.learner import keep_heap
from d3rlpy_distill.machine import describe_machine
from d3rlpy_distill.options import option
from d3rlpy_distill.students.impala_encoder import ARCHITECTURES
from d3rlpy_distill.tasks import TrainedPolicy, TrainSettings

from ..games import Levels
from .config import PRECISIONS, TrainExpertConfig
from .curve import CurvePoint
from .export import export_run
from .run import train_expert

__all__ = ["ProcgenTrainSettings", "train_and_export"]

CPU_ENVS, GPU_ENVS = 64, 256  # a GPU idles with fewer


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProcgenTrainSettings(TrainSettings):
    """What training on Procgen takes; :class:`~.config.TrainExpertConfig` says what each means."""

    steps: int = option(25_000_000, "Environment steps.", minimum=1)
    architecture: str = option("impala-s2d", "Network; impala is several times slower.", choices=ARCHITECTURES)
    envs: int | None = option(None, "Environments at once.  [default: 64; on a GPU 256]", minimum=1)
    horizon: int = option(256, "Steps between updates.", minimum=1)
    epochs: int = option(3, "Passes in an update.", minimum=1)
    phase: int = option(0, "Rollouts between two auxiliary phases (PPG); 0: none, PPO.", minimum=0)
    auxiliary_epochs: int = option(2, "Passes in an auxiliary phase.", minimum=1)
    auxiliary_batch: int = option(1024, "Frames of a gradient step in it.", minimum=1)
    minibatches: int = option(8, "Parts of a pass.", minimum=1)
    learning_rate: float = option(5e-4, "Adam's.", above=0)
    annealing: int = option(
        0, "Steps over which it and the entropy bonus fall to a tenth; 0: constant.", minimum=0
    )
    evaluate_every: int = option(500_000, "Steps between evaluations on validation levels.", minimum=1)
    start_level: int = option(0, "First training level.", minimum=0)
    num_levels: int = option(200, "Training levels.", minimum=0)
    mode: str = option("easy", "Difficulty.", choices=("easy", "hard"))
    init: str | None = option(None, "Bundled expert or .safetensors file whose weights to start from.")
    precision: str = option(
        "auto",
        "Of the network; auto is bfloat16 where the processor or GPU computes in it.",
        choices=PRECISIONS,
    )

    def config(self, game: str, device: str) -> TrainExpertConfig:
        """Returns the configuration for a game.

        Raises:
            SettingsError: If settings do not go together.
        """
        try:
            levels = Levels(self.start_level, self.num_levels)
        except ValueError as error:
            raise SettingsError(str(error)) from error
        return TrainExpertConfig(
            game,
            self.architecture,
            steps=self.steps,
            envs=self.envs or (GPU_ENVS if device.startswith("cuda") else CPU_ENVS),
            horizon=self.horizon,
            epochs=self.epochs,
            phase=self.phase,
            auxiliary_epochs=self.auxiliary_epochs,
            auxiliary_batch=self.auxiliary_batch,
            minibatches=self.minibatches,
            learning_rate=self.learning_rate,
            annealing=self.annealing,
            evaluate_every=self.evaluate_every,
            levels=levels,
            mode=self.mode,
            seed=self.seed,
            init=self.init,
            precision=self.precision,
        )


def train_and_export(
    config: TrainExpertConfig,
    directory: Path,
    *,
    resume: bool,
    max_minutes: float | None,
    device: str,
    tensorboard: bool,
    episodes: int,
    on_update: Callable[[int, str], None] | None,
) -> tuple[list[TrainedPolicy], bool]:
    """Trains, plays the result on training and on unseen levels, and exports it with its cards."""
    with claimed(directory, directory=True):
        keep_heap()
        speed = _Speed(on_update)
        result = train_expert(
            config,
            directory,
            resume=resume,
            max_minutes=max_minutes,
            device=device,
            tensorboard=tensorboard,
            on_update=speed.told,
        )
        machine = describe_machine()
        paths = export_run(
            config,
            directory,
            result,
            machine=f"{machine['processor']}, {machine['cores']} cores",
            device=device,
            episodes=episodes,
        )
        trained = []
        for path in paths:
            card = json.loads(path.with_suffix(".json").read_text())
            returns = {split: card["returns"][split]["sampled"]["mean"] for split in ("train", "ood")}
            trained.append(TrainedPolicy(path, card["environment_steps"], returns))
        return trained, result.finished


class _Speed:
    """Turns the points of a curve into a line of progress."""

    def __init__(self, on_update: Callable[[int, str], None] | None) -> None:
        self._on_update = on_update
        self._steps, self._seconds = 0, 0.0
        self._validation: float | None = None

    def told(self, point: CurvePoint) -> None:
        if self._on_update is None:
            return
        speed = (point.steps - self._steps) / max(point.seconds - self._seconds, 1e-9)
        self._steps, self._seconds = point.steps, point.seconds
        if point.validation_return is not None:
            self._validation = point.validation_return
        note = f"{speed:,.0f} steps/s, return {point.train_return or 0:.2f}"
        if self._validation is not None:
            note += f", validation {self._validation:.2f}"
        self._on_update(point.steps, note)
