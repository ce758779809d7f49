"""What is done between two rollouts of a training: checkpoints, progress, the clock."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from .gymnasium_sac import CapturedSac
from .gymnasium_snapshots import Snapshots

__all__ = ["Loop"]

CHECKPOINT_SECONDS = 30.0
CHECKPOINT_SHARE = 20  # of the time spent otherwise, one part goes to writing checkpoints
UPDATE_SECONDS = 1.0


class Loop(BaseCallback):
    """Keeps a checkpoint every half a minute, tells how far it is, and stops when the time is over.

    Where a checkpoint takes long to write, such as SAC's with a large memory, there are fewer: they take a twentieth of
    the time at most.

    Args:
        steps: Environment steps that are asked for.
        max_minutes: Stop after the update during which this time runs out; there is at least one.
        on_update: Called with the steps so far and a note, once a second at most.
        save: Writes a checkpoint.
        snapshots: Of SAC on vectors; they are offered the model between two updates.
    """

    def __init__(
        self,
        steps: int,
        max_minutes: float | None,
        on_update: Callable[[int, str], None] | None,
        save: Callable[[], None],
        snapshots: Snapshots | None,
    ) -> None:
        super().__init__()
        self.out_of_time = False
        self.saved = 0
        self._steps, self._on_update, self._save_model = steps, on_update, save
        self._snapshots = snapshots
        self._wait = CHECKPOINT_SECONDS
        now = time.perf_counter()
        self._deadline = None if max_minutes is None else now + 60 * max_minutes
        self._saved_at = self._told_at = now
        self._told_steps = 0

    def _on_training_start(self) -> None:
        self.saved = self._told_steps = self.num_timesteps = self.model.num_timesteps

    def _on_step(self) -> bool:
        return not self.out_of_time

    def _on_rollout_start(self) -> None:
        """Every update is done: a model that is saved here goes on as if nothing had happened."""
        now, steps = time.perf_counter(), self.model.num_timesteps
        if steps == self.saved:
            return
        self._tell(now, steps)
        if self._snapshots is not None:
            assert isinstance(self.model, CapturedSac)
            self._snapshots.offer(self.model)
        late = self._deadline is not None and now >= self._deadline
        self.out_of_time = late and steps < self._steps
        if self.out_of_time or now - self._saved_at >= self._wait:
            self._save()

    def _on_training_end(self) -> None:
        if not self.out_of_time:  # else the environments have gone a step beyond the checkpoint
            self._tell(time.perf_counter() + UPDATE_SECONDS, self.model.num_timesteps)
            self._save()

    def _save(self) -> None:
        start = time.perf_counter()
        self._save_model()
        self._saved_at = time.perf_counter()
        self._wait = max(CHECKPOINT_SECONDS, CHECKPOINT_SHARE * (self._saved_at - start))
        self.saved = self.model.num_timesteps

    def _tell(self, now: float, steps: int) -> None:
        if self._on_update is None or now - self._told_at < UPDATE_SECONDS:
            return
        speed = (steps - self._told_steps) / (now - self._told_at)
        self._told_at, self._told_steps = now, steps
        returns = [float(episode["r"]) for episode in self.model.ep_info_buffer or ()]
        note = f"{speed:,.0f} steps/s"
        if returns:
            note += f", return {np.mean(returns):.2f}"
        self._on_update(steps, note)
