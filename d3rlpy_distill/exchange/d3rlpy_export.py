"""Students as d3rlpy's own models, ``.d3``: what ``d3rlpy.load_learnable`` and the command ``d3rlpy`` read."""

from __future__ import annotations

import dataclasses
import pickle
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from d3rlpy.base import LearnableConfig
from d3rlpy.serializable_config import DynamicConfig

from ..errors import DistillError, SettingsError
from ..files import appears_atomically, check_output
from ..learners.learner import AnyLearner
from ..registry import PLUGIN_PREFIX
from ..students.kept import KeptStudent, is_student, load_student
from .transfer import Transfer

__all__ = ["check_export_d3rlpy", "export_d3rlpy", "save_d3"]

SUFFIX = ".d3"
REGISTERED = "registered_by"
"""The key of classes that are not d3rlpy's. Pickle imports their modules, which register them, before it is used."""


def export_d3rlpy(student: str | Path, path: str | Path | None = None, *, overwrite: bool = False) -> KeptStudent:
    """Writes a student that an evaluation kept as a model of d3rlpy's.

    A ``.d3`` file is a pickle: d3rlpy's own format, which runs code when it is loaded. What we keep and read ourselves
    stays safetensors.

    Args:
        student: A student's ``.safetensors``.
        path: The ``.d3`` file to make; by default beside the student.
        overwrite: Replace a file that is there.

    Returns:
        The student.

    Raises:
        SettingsError: If there is no such student, or the path does not end in ``.d3``.
        CheckpointError: If the student's file is damaged.
        OutputExistsError: If there is a file and ``overwrite`` is False.
        DistillError: If its network comes from a plug-in that is a file, which d3rlpy could not import.
    """
    student = Path(student)
    kept = _kept(student)
    save_d3(kept.learner, _target(student, path), overwrite=overwrite)
    return kept


def check_export_d3rlpy(
    student: str | Path, path: str | Path | None = None, *, overwrite: bool = False
) -> Transfer:
    """Says what :func:`export_d3rlpy` would do; the model is written into a temporary directory.

    Args: those of :func:`export_d3rlpy`.

    Raises: those of :func:`export_d3rlpy`.
    """
    start = time.perf_counter()
    student = Path(student)
    kept, path = _kept(student), _target(student, path)
    _check_suffix(path)
    check_output(path, overwrite=overwrite)
    with tempfile.TemporaryDirectory() as directory:
        made = Path(directory) / f"student{SUFFIX}"
        save_d3(kept.learner, made)
        seconds = time.perf_counter() - start
        return Transfer(str(student), student.stat().st_size, path, made.stat().st_size, seconds)


def _target(student: Path, path: str | Path | None) -> Path:
    return student.with_suffix(SUFFIX) if path is None else Path(path)


def _kept(student: Path) -> KeptStudent:
    if not student.is_file() or not is_student(student):
        found = "is no student" if student.is_file() else "does not exist"
        raise SettingsError(
            f"{student} {found}: expected a .safetensors that 'rld-distill evaluate' kept, for example "
            "results/starpilot/students/distilled-150/0.safetensors."
        )
    return load_student(student)


def save_d3(learner: AnyLearner, path: str | Path, *, overwrite: bool = False) -> None:
    """Writes a trained learner as a model of d3rlpy's; one of ours needs this package where it is loaded.

    Args:
        learner: Any of d3rlpy's algorithms, or :class:`~..students.soft_bc.SoftBC`.
        path: The ``.d3`` file to make.
        overwrite: Replace a file that is there.

    Raises:
        SettingsError: If the path does not end in ``.d3``.
        OutputExistsError: If there is a file and ``overwrite`` is False.
        DistillError: If its network comes from a plug-in that is a file, which d3rlpy could not import.
    """
    path = Path(path)
    _check_suffix(path)
    foreign = list(_foreign(learner.config))
    for one in foreign:
        if one.__module__.startswith(PLUGIN_PREFIX):
            raise DistillError(
                f"{one.__name__} comes from a --plugin file, which d3rlpy cannot import: install it as a package, "
                "with an entry point in d3rlpy_distill.plugins, and train the student again."
            )
    with appears_atomically(path, overwrite=overwrite) as partial:
        learner.save(str(partial))
        if foreign:  # what was just written is ours: it is safe to load
            model = pickle.loads(partial.read_bytes())
            partial.write_bytes(pickle.dumps({REGISTERED: foreign, **model}))


def _check_suffix(path: Path) -> None:
    if path.suffix != SUFFIX:
        raise SettingsError(f"{path}: expected a path that ends in {SUFFIX}, as d3rlpy's models do.")


def _foreign(config: LearnableConfig | DynamicConfig) -> Iterator[type[DynamicConfig]]:
    """The classes of a configuration that d3rlpy itself does not register: networks, algorithms, scalers."""
    if type(config).__module__.partition(".")[0] != "d3rlpy":
        yield type(config)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, DynamicConfig):
            yield from _foreign(value)
