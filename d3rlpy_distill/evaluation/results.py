"""The results file: one JSON schema for ``evaluate --json``, the reports and the published tables."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DistillError
from ..files import write_json
from .players import MODES, SPLITS
from .statistics import summarise

__all__ = ["ArmResult", "Results"]


@dataclasses.dataclass(frozen=True)
class ArmResult:
    """One arm on one split in one action mode.

    Args:
        name: Arm, for example ``"distilled-150"``.
        split: ``"id"`` (training levels) or ``"ood"`` (all levels).
        mode: ``"sampled"`` or ``"greedy"``.
        mean: Mean return, see :class:`~.statistics.Summary`.
        std: Standard deviation over students (over episodes where there is one policy).
        iqm: Interquartile mean over the same.
        ci95: Its 95% bootstrap interval.
        normalised: The mean as the game's normalised score.
        n_students: Students, S.
        n_episodes: Episodes each, K.
        samples: Transitions that a student was trained on; 0 for policies.
        bytes: Bytes of those as observations, int32 actions and float32 rewards; 0 for policies.
        train_seconds: Mean seconds to train one student; 0 for policies.
        returns: S lists of K returns.
    """

    name: str
    split: str
    mode: str
    mean: float
    std: float
    iqm: float
    ci95: tuple[float, float]
    normalised: float
    n_students: int
    n_episodes: int
    samples: int
    bytes: int
    train_seconds: float
    returns: list[list[float]]

    @classmethod
    def from_returns(
        cls,
        name: str,
        split: str,
        mode: str,
        returns: npt.NDArray[np.float64],
        *,
        normalised: float,
        samples: int,
        n_bytes: int,
        train_seconds: float,
        seed: int,
    ) -> ArmResult:
        """Summarises returns ``(S, K)``; the bootstrap is seeded, so a summary can be checked."""
        summary = summarise(returns, np.random.default_rng(seed))
        return cls(
            name=name,
            split=split,
            mode=mode,
            mean=summary.mean,
            std=summary.std,
            iqm=summary.iqm,
            ci95=summary.ci95,
            normalised=normalised,
            n_students=len(returns),
            n_episodes=returns.shape[1],
            samples=samples,
            bytes=n_bytes,
            train_seconds=train_seconds,
            returns=returns.tolist(),
        )


@dataclasses.dataclass(frozen=True)
class Results:
    """A results file.

    Args:
        game: The game.
        protocol: How it was evaluated (JSON values).
        provenance: Datasets, packages, machine, command (JSON values).
        arms: One entry for each arm, split and mode.
    """

    game: str
    protocol: dict[str, Any]
    provenance: dict[str, Any]
    arms: Sequence[ArmResult]

    def get(self, name: str, split: str, mode: str) -> ArmResult | None:
        """Returns the entry, or None."""
        for arm in self.arms:
            if (arm.name, arm.split, arm.mode) == (name, split, mode):
                return arm
        return None

    def names(self) -> list[str]:
        """Returns the arms' names, each once, in the file's order."""
        return list(dict.fromkeys(arm.name for arm in self.arms))

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON object."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> Results:
        """Inverse of :meth:`to_json`.

        Raises:
            DistillError: If the object does not follow the schema.
        """
        try:
            arms = [ArmResult(**{**arm, "ci95": tuple(arm["ci95"])}) for arm in value["arms"]]
            results = cls(value["game"], value["protocol"], value["provenance"], arms)
        except (TypeError, KeyError) as error:
            raise DistillError(f"results do not follow the schema of 'rld-distill evaluate': {error}") from error
        for arm in results.arms:
            if arm.split not in SPLITS or arm.mode not in MODES:
                raise DistillError(f"results: arm {arm.name!r} has split {arm.split!r}, mode {arm.mode!r}.")
        return results

    def save(self, path: Path) -> None:
        """Writes the file atomically."""
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> Results:
        """Reads a results file, or ``results.json`` in a directory.

        Raises:
            DistillError: If there is none, or it does not follow the schema.
        """
        path = path / "results.json" if path.is_dir() else path
        if not path.is_file():
            raise DistillError(
                f"{path} does not exist: expected the results of 'rld-distill evaluate'; "
                "an interrupted evaluation resumes when its command is run again."
            )
        try:
            value = json.loads(path.read_text())
        except ValueError as error:
            raise DistillError(f"{path} is not valid JSON: {error}") from error
        return cls.from_json(value)
