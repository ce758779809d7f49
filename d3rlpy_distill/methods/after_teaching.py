"""Teachers, and then what is done with them, as one process of steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import numpy as np

from ..data import TransitionArrays
from ..errors import SettingsError
from ..students.teachers import Teachers
from .labels import LabelDistillationConfig
from .loop import Process

__all__ = ["AfterTeaching"]

P = TypeVar("P", bound=Process)


class AfterTeaching(Generic[P]):
    """Trains teachers, unless they are given, and takes the steps of a process that needs them.

    Args:
        config: The method; says who the teachers are, and by ``option_steps`` for how long they train.
        data: What they imitate.
        rng: Draws what their training needs.
        device: torch device.
        begin: Returns the process, from the teachers; called when they are trained.
    """

    def __init__(
        self,
        config: LabelDistillationConfig,
        data: TransitionArrays,
        rng: np.random.Generator,
        device: str,
        begin: Callable[[Teachers], P],
    ) -> None:
        self._config, self._data, self._device, self._begin = config, data, device, begin
        self._teaching = config.teaching(data, rng, device)
        self._left = config.option_steps
        self._begun: P | None = None

    def step(self) -> float:
        """Takes a step of the present teacher, or of what comes after."""
        if self._left:
            self._left -= 1
            return self._teaching.step()
        return self.process().step()

    def state(self) -> dict[str, Any]:
        """Returns what :meth:`load_state` takes."""
        begun = None if self._begun is None else self._begun.state()
        return {"teaching": self._teaching.state(), "left": self._left, "moving": begun}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self._teaching.load_state(state["teaching"])
        self._left = int(state["left"])
        if state["moving"] is not None:
            self.process().load_state(state["moving"])

    def process(self) -> P:
        """Returns what comes after the teachers, as it is.

        Raises:
            SettingsError: If there are no teachers.
        """
        if self._begun is None:
            teachers = self._config.given or self._config.taught(self._teaching, self._data, self._device)
            if teachers is None:
                raise SettingsError("steps=0 without given teachers: nobody labels; expected 1 or more.")
            self._begun = self._begin(teachers)
        return self._begun
