"""Teachers, and then what is done with them, as one process of steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import numpy as np

from ..data import TransitionArrays
from ..errors import SettingsError
from ..students.teachers import Teachers
from .base import Run
from .checkpoint import data_fingerprint
from .labels import LabelDistillationConfig
from .loop import Process, run_steps

__all__ = ["AfterTeaching"]

P = TypeVar("P", bound=Process)


class AfterTeaching(Generic[P]):
    """Trains teachers, unless they are given, and takes the steps of a process that needs them.

    Args:
        config: The method; says who the teachers are, and how many steps are theirs and how many come after.
        data: What they imitate.
        rng: Draws everything.
        run: Device, checkpoint and progress.
        begin: Returns the process, from the teachers; called when they are trained.
    """

    def __init__(
        self,
        config: LabelDistillationConfig,
        data: TransitionArrays,
        rng: np.random.Generator,
        run: Run,
        begin: Callable[[Teachers], P],
    ) -> None:
        self._config, self._data, self._rng, self._run, self._begin = config, data, rng, run, begin
        self._teaching = config.teaching(data, rng, run.device)
        self._left = config.option_steps
        self._begun: P | None = None

    def finished(self, **identity: str | None) -> P:
        """Takes all steps, those before a checkpoint excepted, and returns what comes after the teachers.

        Args:
            **identity: What a checkpoint has to agree with, beside method, data, teachers and generator.

        Raises:
            SettingsError: If there are no teachers.
            CheckpointError: If the checkpoint belongs to something else.
        """
        given = self._config.given
        known = {
            "config": self._config.to_json(),
            "data": data_fingerprint(self._data),
            "rng": str(self._rng.bit_generator.state),
            "teachers": None if given is None else given.sha256,
            **identity,
        }
        run_steps(self, self._config.total_steps, self._rng, self._run, known)
        return self._process()

    def step(self) -> float:
        """Takes a step of the present teacher, or of what comes after."""
        if self._left:
            self._left -= 1
            return self._teaching.step()
        return self._process().step()

    def state(self) -> dict[str, Any]:
        """Returns what :meth:`load_state` takes."""
        begun = None if self._begun is None else self._begun.state()
        return {"teaching": self._teaching.state(), "left": self._left, "moving": begun}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self._teaching.load_state(state["teaching"])
        self._left = int(state["left"])
        if state["moving"] is not None:
            self._process().load_state(state["moving"])

    def _process(self) -> P:
        if self._begun is None:
            teachers = self._config.given or self._config.taught(self._teaching, self._data, self._run.device)
            if teachers is None:
                raise SettingsError("steps=0 without given teachers: nobody labels; expected 1 or more.")
            self._begun = self._begin(teachers)
        return self._begun
