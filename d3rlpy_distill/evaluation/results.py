"""The results of an evaluation: summaries as JSON, raw returns compactly beside them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DistillError, SettingsError
from ..files import check_output, read_document, write_document
from ..tasks.base import MODES
from .arms import ArmKind
from .layout import lay_out
from .legacy import from_0_1
from .returns import load_returns, save_returns
from .statistics import summarise
from .tuning import Tuned

__all__ = ["SCHEMA", "ArmResult", "Results", "shapes"]

SCHEMA = 2
DIGITS = 7


@dataclasses.dataclass(frozen=True, eq=False)
class ArmResult:
    """One arm on one split in one action mode.

    Args:
        name: Arm, for example ``"distilled-150"``.
        about: What it is.
        split: One of the task's.
        mode: ``"sampled"`` or ``"greedy"``.
        mean: Mean return, see :class:`~.statistics.Summary`.
        std: Standard deviation over students (over episodes where there is one policy).
        iqm: Interquartile mean over the same.
        ci95: Its 95% bootstrap interval.
        normalised: The mean as the task's normalised score; None where it has none.
        n_students: Students, S.
        n_episodes: Episodes each, K.
        samples: Transitions that a student was trained on; 0 for policies.
        bytes: Bytes of those as observations, int32 or float32 actions and float32 rewards; 0 for policies.
        train_seconds: Mean seconds to train one student; 0 for policies.
        returns: ``(S, K)``.
    """

    name: str
    about: ArmKind
    split: str
    mode: str
    mean: float
    std: float
    iqm: float
    ci95: tuple[float, float]
    normalised: float | None
    n_students: int
    n_episodes: int
    samples: int
    bytes: int
    train_seconds: float
    returns: npt.NDArray[np.float64] = dataclasses.field(repr=False)

    @classmethod
    def from_returns(
        cls,
        name: str,
        about: ArmKind,
        split: str,
        mode: str,
        returns: npt.NDArray[np.float64],
        *,
        normalised: float | None,
        samples: int = 0,
        n_bytes: int = 0,
        train_seconds: float = 0.0,
        seed: int,
    ) -> ArmResult:
        """Summarises returns ``(S, K)``; the bootstrap is seeded, so a summary can be checked."""
        summary = summarise(returns, np.random.default_rng(seed))
        return cls(
            name=name,
            about=about,
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
            returns=returns,
        )

    def to_json(self) -> dict[str, Any]:
        """Returns JSON values, without the raw returns and what is None.

        Summaries have as many digits as the returns, which are float32.
        """
        fields = {
            f.name: _rounded(getattr(self, f.name))
            for f in dataclasses.fields(self)
            if f.name not in ("about", "returns")
        }
        name = fields.pop("name")
        ci95 = [_rounded(one) for one in self.ci95]
        every = {"name": name, **dataclasses.asdict(self.about), **fields, "ci95": ci95}
        return {key: value for key, value in every.items() if value is not None}


@dataclasses.dataclass(frozen=True, eq=False)
class Results:
    """The results of an evaluation.

    Args:
        task: Name of the task.
        protocol: How it was evaluated (JSON values).
        provenance: Datasets, packages, machine, command (JSON values).
        splits: What was played, each with its title.
        arms: One entry for each arm, split and mode.
        tuning: What was tried for the budget of each arm, by its name; none where budgets were not tuned.
    """

    task: str
    protocol: Mapping[str, Any]
    provenance: Mapping[str, Any]
    splits: Mapping[str, str]
    arms: Sequence[ArmResult]
    tuning: Mapping[str, Tuned] = dataclasses.field(default_factory=dict)

    @property
    def title(self) -> str:
        """The task without its namespace: ``"starpilot"``."""
        return self.task.rpartition("/")[2]

    def get(self, name: str, split: str, mode: str) -> ArmResult | None:
        """Returns the entry, or None."""
        for arm in self.arms:
            if (arm.name, arm.split, arm.mode) == (name, split, mode):
                return arm
        return None

    def main(self, name: str, split: str) -> ArmResult | None:
        """Returns the entry that tables show first: actions sampled, or greedy where a task has nothing else."""
        return self.get(name, split, "sampled") or self.get(name, split, "greedy")

    def names(self) -> list[str]:
        """Returns the arms' names, each once, in the file's order."""
        return list(dict.fromkeys(arm.name for arm in self.arms))

    def about(self, name: str) -> ArmKind:
        """Returns what an arm is."""
        return next(arm.about for arm in self.arms if arm.name == name)

    def find(self, kinds: Sequence[str], *, labels: str = "actions", student: str | None = None) -> list[str]:
        """Returns the names of the arms of these kinds, of one student or of any."""
        return [
            name
            for name in self.names()
            if (about := self.about(name)).kind in kinds
            and about.labels == labels
            and student in (None, about.student)
        ]

    @property
    def students(self) -> list[str]:
        """Names of the students, each once, in the file's order."""
        return list(dict.fromkeys(arm.about.student for arm in self.arms if arm.about.student is not None))

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON object, without the raw returns."""
        return {
            "schema": SCHEMA,
            "task": self.task,
            "protocol": dict(self.protocol),
            "provenance": dict(self.provenance),
            "splits": dict(self.splits),
            **({"tuning": {name: one.to_json() for name, one in self.tuning.items()}} if self.tuning else {}),
            "arms": [arm.to_json() for arm in self.arms],
        }

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Writes ``NAME.json``, and the raw returns as ``NAME.npz`` beside it, each atomically."""
        path = Path(path)
        check_output(path, overwrite=overwrite)
        digest = save_returns(path.with_suffix(".npz"), [arm.returns for arm in self.arms], overwrite=overwrite)
        value = {**self.to_json(), "returns_sha256": digest}
        write_document(path, value, overwrite=overwrite, layout=lay_out)

    @classmethod
    def load(cls, path: str | Path) -> Results:
        """Reads a results file, or ``results.json`` in a directory; those of version 0.1, too.

        Raises:
            DistillError: If there is none, it does not follow the schema, or its returns are missing or changed.
        """
        path = Path(path)
        path = path / "results.json" if path.is_dir() else path
        if not path.is_file():
            raise DistillError(
                f"{path} does not exist: expected the results of 'rld-distill evaluate' or 'sweep'; "
                "what was interrupted goes on when its command is run again."
            )
        return cls.from_json(read_document(path, unsealed=True), path)

    @classmethod
    def from_json(
        cls, value: Any, path: Path, returns: Sequence[npt.NDArray[np.float64]] | None = None
    ) -> Results:
        """Reads the object of a results file.

        Args:
            value: The object.
            path: Its file.
            returns: The raw returns, where they do not lie in ``NAME.npz`` beside the file or, as in version 0.1, in
                the object itself.

        Raises:
            DistillError: If the object does not follow the schema.
        """
        try:
            if "schema" not in value:
                value, returns = from_0_1(value)
            elif value["schema"] != SCHEMA:
                raise DistillError(
                    f"{path} is of schema {value['schema']}: this version reads {SCHEMA}; update d3rlpy-distill."
                )
            elif returns is None:
                returns = load_returns(path.with_suffix(".npz"), value["returns_sha256"], shapes(value))
            arms = [_arm(arm, one) for arm, one in zip(value["arms"], returns, strict=True)]
            tuning = {str(name): Tuned.from_json(one) for name, one in value.get("tuning", {}).items()}
            results = cls(
                str(value["task"]),
                dict(value["protocol"]),
                dict(value["provenance"]),
                dict(value["splits"]),
                arms,
                tuning,
            )
            results._check()
        except (TypeError, KeyError, ValueError, AttributeError, IndexError, SettingsError) as error:
            reason = " ".join(f"{type(error).__name__} {error}".split())
            raise DistillError(f"{path} does not follow the schema of 'rld-distill evaluate': {reason}") from error
        return results

    def _check(self) -> None:
        if not self.arms:
            raise ValueError("no arms")
        for arm in self.arms:
            if arm.split not in self.splits or arm.mode not in MODES:
                raise ValueError(f"arm {arm.name!r} has split {arm.split!r}, mode {arm.mode!r}")
        if not all(isinstance(title, str) for title in self.splits.values()):
            raise TypeError(f"splits {dict(self.splits)!r}")
        for told, key in ((self.provenance, "real"), (self.protocol, "budgets")):
            if not isinstance(told.get(key, {}), Mapping):
                raise TypeError(f"{key} {told[key]!r}")
        if not isinstance(self.protocol.get("real_sha256"), str | None):
            raise TypeError(f"real_sha256 {self.protocol['real_sha256']!r}")
        for student, budgets in self.protocol.get("budgets", {}).items():
            for size in budgets:
                given = [budgets[size][key] for key in ("n_steps", "batch_size")]
                if any(isinstance(one, bool) or not isinstance(one, int) or one < 0 for one in given):
                    raise ValueError(f"budgets of {student!r}: {given}")


def _rounded(value: Any) -> Any:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def shapes(value: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Returns the shape ``(S, K)`` of every arm's returns, from the JSON object of results."""
    return [(int(arm["n_students"]), int(arm["n_episodes"])) for arm in value["arms"]]


def _arm(value: Mapping[str, Any], returns: npt.NDArray[np.float64]) -> ArmResult:
    size, normalised = value.get("size"), value.get("normalised")
    low, high = value["ci95"]
    texts = {key: value[key] for key in ("name", "kind", "labels", "split", "mode")}
    texts |= {key: value.get(key) for key in ("student", "of", "teachers")}
    for key, text in texts.items():
        if not isinstance(text, str) and not (text is None and key in ("student", "of", "teachers")):
            raise TypeError(f"an arm has {key} {text!r}")
    return ArmResult(
        name=str(value["name"]),
        about=ArmKind(
            value["kind"],
            None if size is None else int(size),
            value["labels"],
            texts["student"],
            texts["of"],
            texts["teachers"],
        ),
        split=str(value["split"]),
        mode=str(value["mode"]),
        mean=float(value["mean"]),
        std=float(value["std"]),
        iqm=float(value["iqm"]),
        ci95=(float(low), float(high)),
        normalised=None if normalised is None else float(normalised),
        n_students=int(value["n_students"]),
        n_episodes=int(value["n_episodes"]),
        samples=int(value["samples"]),
        bytes=int(value["bytes"]),
        train_seconds=float(value["train_seconds"]),
        returns=returns,
    )
