"""The results of an evaluation: summaries as JSON, raw returns compactly beside them."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DistillError
from ..files import appears_atomically, write_json
from .arms import ArmKind
from .legacy import from_0_1
from .statistics import summarise

__all__ = ["SCHEMA", "ArmResult", "Results"]

SCHEMA = 2


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
        """Returns the JSON object, without the raw returns."""
        fields = {
            f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("about", "returns")
        }
        name = fields.pop("name")
        return {"name": name, **dataclasses.asdict(self.about), **fields}


@dataclasses.dataclass(frozen=True, eq=False)
class Results:
    """The results of an evaluation.

    Args:
        task: Name of the task.
        protocol: How it was evaluated (JSON values).
        provenance: Datasets, packages, machine, command (JSON values).
        splits: What was played, each with its title.
        arms: One entry for each arm, split and mode.
    """

    task: str
    protocol: Mapping[str, Any]
    provenance: Mapping[str, Any]
    splits: Mapping[str, str]
    arms: Sequence[ArmResult]

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

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON object, without the raw returns."""
        return {
            "schema": SCHEMA,
            "task": self.task,
            "protocol": dict(self.protocol),
            "provenance": dict(self.provenance),
            "splits": dict(self.splits),
            "arms": [arm.to_json() for arm in self.arms],
        }

    def save(self, path: Path) -> None:
        """Writes ``NAME.json``, and the raw returns as ``NAME.npz`` beside it, each atomically."""
        data = _pack([arm.returns for arm in self.arms])
        with appears_atomically(path.with_suffix(".npz")) as partial:
            partial.write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        write_json(path, {**self.to_json(), "returns": {"file": path.with_suffix(".npz").name, "sha256": digest}})

    @classmethod
    def load(cls, path: Path) -> Results:
        """Reads a results file, or ``results.json`` in a directory; those of version 0.1, too.

        Raises:
            DistillError: If there is none, it does not follow the schema, or its returns are missing or changed.
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
        return cls.from_json(value, path)

    @classmethod
    def from_json(cls, value: Any, path: Path) -> Results:
        """Reads the object of a results file; the raw returns lie beside the file, in version 0.1 in the object.

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
            else:
                shapes = [(int(arm["n_students"]), int(arm["n_episodes"])) for arm in value["arms"]]
                returns = _unpack(path.with_name(value["returns"]["file"]), value["returns"]["sha256"], shapes)
            arms = [_arm(arm, one) for arm, one in zip(value["arms"], returns, strict=True)]
            return cls(value["task"], value["protocol"], value["provenance"], value["splits"], arms)
        except (TypeError, KeyError, ValueError, AttributeError, IndexError) as error:
            raise DistillError(
                f"{path} does not follow the schema of 'rld-distill evaluate': {type(error).__name__} {error}"
            ) from error


def _arm(value: dict[str, Any], returns: npt.NDArray[np.float64]) -> ArmResult:
    about = ArmKind(**{field.name: value[field.name] for field in dataclasses.fields(ArmKind)})
    names = {field.name for field in dataclasses.fields(ArmResult)} - {"about", "returns", "ci95"}
    low, high = value["ci95"]
    return ArmResult(about=about, returns=returns, ci95=(low, high), **{name: value[name] for name in names})


def _pack(returns: Sequence[npt.NDArray[np.float64]]) -> bytes:
    """All returns in one array, float32 where that loses nothing, deflated; equal returns give equal bytes."""
    flat = np.concatenate([one.ravel() for one in returns]) if returns else np.zeros(0)
    short = flat.astype(np.float32)
    array = short if np.array_equal(short.astype(np.float64), flat) else flat
    raw = io.BytesIO()
    np.lib.format.write_array(raw, array, allow_pickle=False)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr(zipfile.ZipInfo("returns.npy"), raw.getvalue(), zipfile.ZIP_DEFLATED, 9)
    return packed.getvalue()


def _unpack(path: Path, sha256: str, shapes: Sequence[tuple[int, int]]) -> list[npt.NDArray[np.float64]]:
    if not path.is_file():
        raise DistillError(f"{path} does not exist: the raw returns belong beside the results; copy both files.")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DistillError(f"{path} was changed: it is not the file that its results were written with.")
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        flat = archive["returns"].astype(np.float64)
    ends = np.cumsum([students * episodes for students, episodes in shapes])
    if len(flat) != (ends[-1] if len(ends) else 0):
        raise DistillError(f"{path} has {len(flat)} returns: expected {ends[-1] if len(ends) else 0}.")
    parts = np.split(flat, ends[:-1]) if len(ends) else []
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
