"""Files of trained students: weights, and all that it takes to play them again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from d3rlpy.algos import DiscreteBCConfig
from d3rlpy.base import LearnableConfigWithShape
from d3rlpy.preprocessing import PixelObservationScaler

from ..catalogue import STUDENTS
from ..errors import CheckpointError, DamagedFileError, UnknownNameError
from ..files import load_tensors, read_metadata, save_tensors
from ..learners.bounded import no_larger_than
from ..learners.learner import AnyLearner
from ..memory import memory_errors
from ..policies import Policy
from .base import Student
from .paper import PaperStudent
from .paper_encoder import PaperEncoderFactory

__all__ = [
    "KeptStudent",
    "PackedStudent",
    "is_student",
    "load_student",
    "pack_student",
    "read_weights",
    "save_student",
    "write_student",
]

KEY = "student"
KINDS: Mapping[str, type | tuple[type, ...]] = {
    "name": str,
    "learner": str,
    "target_return": (int, float),
    "record": dict,
}


@dataclasses.dataclass(frozen=True, eq=False)
class KeptStudent:
    """A trained student from a file.

    Args:
        policy: The student, ready to play.
        learner: The d3rlpy algorithm.
        shape: Of one observation.
        action_size: Number of actions, or of the dimensions of one.
        target_return: What a return-conditioned policy is asked for.
        sha256: Hash of the file, hexadecimal.
    """

    policy: Policy
    learner: AnyLearner
    shape: tuple[int, ...]
    action_size: int
    target_return: float
    sha256: str


@dataclasses.dataclass(frozen=True, eq=False)
class PackedStudent:
    """A trained student as its file holds it; can be sent to another process.

    Args:
        weights: On the CPU.
        about: What it is (JSON values).
    """

    weights: Mapping[str, torch.Tensor]
    about: Mapping[str, Any]


def pack_student(
    name: str, student: Student, learner: AnyLearner, target_return: float, record: Mapping[str, float]
) -> PackedStudent:
    """Returns all that has to be kept of a trained student.

    Args:
        name: Of the student, as registered.
        student: What it is.
        learner: The trained algorithm.
        target_return: See :meth:`~.base.Student.policy`.
        record: Numbers to keep beside it: seconds, steps.
    """
    shaped = LearnableConfigWithShape(
        observation_shape=learner.observation_shape, action_size=learner.action_size, config=learner.config
    )
    about = {
        "name": name,
        "learner": shaped.serialize(),
        "target_return": target_return,
        "record": dict(record),
    }
    return PackedStudent({key: value.detach().cpu() for key, value in student.weights(learner).items()}, about)


def write_student(path: Path, packed: PackedStudent) -> None:
    """Writes a ``.safetensors`` file, which :func:`load_student` reads."""
    save_tensors(path, dict(packed.weights), {KEY: json.dumps(packed.about)})


def save_student(
    path: Path, name: str, student: Student, learner: AnyLearner, target_return: float, record: Mapping[str, float]
) -> None:
    """Writes a trained student: :func:`pack_student` and :func:`write_student`."""
    write_student(path, pack_student(name, student, learner, target_return, record))


def is_student(path: Path) -> bool:
    """Tells whether a safetensors file is a kept student; of version 0.1, too, which only says how it was trained."""
    metadata = read_metadata(path)
    return KEY in metadata or "train_seconds" in metadata


def read_weights(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Returns a kept student's weights and what the file says of it.

    Raises:
        CheckpointError: If the file is damaged, or is version 0.1's and does not say what it holds.
    """
    try:
        weights, metadata = load_tensors(path, unsealed=not read_metadata(path).get(KEY))
        if not metadata:
            raise ValueError("it says nothing of itself")
        about = json.loads(metadata[KEY]) if KEY in metadata else _of_0_1(path, weights, metadata)
        for key, kind in KINDS.items():
            if not isinstance(about, dict) or not isinstance(about.get(key), kind):
                raise ValueError(f"it does not say its {key!r}")
        float(about["record"]["train_seconds"])
    except (DamagedFileError, OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: remove it with 'rm {path}' ({error}).") from error
    return weights, about


def load_student(path: Path, *, device: str = "cpu:0") -> KeptStudent:
    """Reads a kept student.

    Raises:
        CheckpointError: If the file is damaged.
        MemoryError: If there is not enough memory for it.
        UnknownNameError: If its kind is not registered; its plug-in is missing.
    """
    weights, about = read_weights(path)
    try:
        student = STUDENTS.get(about["name"])()
    except UnknownNameError as error:
        raise UnknownNameError(f"{path}: {error}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # what does not fit fails in the next lines
            shaped = LearnableConfigWithShape.deserialize(about["learner"])
        shape, size = tuple(shaped.observation_shape), shaped.action_size
        if not all(isinstance(one, int) and one > 0 for one in (*shape, size)):
            raise ValueError(f"observations of shape {shape}, {size} actions")
        with memory_errors():
            with no_larger_than(weights.values()):
                learner = student.restore(shaped.config, weights, shape, size, device=device)
            target = float(about["target_return"])
            policy = student.policy(learner, target)
            _try_out(policy, shape)
    except MemoryError:
        raise
    except Exception as error:  # d3rlpy builds whatever the file names, which may fail in any way
        said = str(error).partition("Exception raised from")[0]  # after that torch lists its own functions
        raise CheckpointError(
            f"{path} is damaged: it is no {about['name']} student ({type(error).__name__}: {said})."
        ) from error
    return KeptStudent(policy, learner, shape, size, target, hashlib.sha256(path.read_bytes()).hexdigest())


def _try_out(policy: Policy, shape: tuple[int, ...]) -> None:
    """Lets a policy act once: what does not fit shows here, and not in the middle of an evaluation.

    Raises: anything, by d3rlpy.
    """
    observations = torch.zeros(1, *shape)
    said = policy.actions(observations) if hasattr(policy, "actions") else policy.logits(observations)
    if not torch.isfinite(said).all():
        raise ValueError("it answers with what is no number")


def _of_0_1(path: Path, weights: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> dict[str, Any]:
    """What version 0.1 left unsaid: its students were the paper's, of 64x64 frames and 15 actions.

    Raises:
        CheckpointError: If it is one of d3rlpy's other algorithms, which that version kept as well.
    """
    if "_encoder.convs.0.weight" not in weights:
        raise CheckpointError(
            f"{path} is a student of version 0.1 that is not the paper's: its file does not say what it is; train it "
            "again with 'rld-distill evaluate --student'."
        )
    config = DiscreteBCConfig(
        learning_rate=PaperStudent.learning_rate,
        encoder_factory=PaperEncoderFactory(),
        observation_scaler=PixelObservationScaler(),
        beta=0.0,
    )
    shaped = LearnableConfigWithShape(observation_shape=(3, 64, 64), action_size=15, config=config)
    return {
        "name": "paper",
        "learner": shaped.serialize(),
        "target_return": 0.0,
        "record": {key: float(value) for key, value in metadata.items()},
    }
