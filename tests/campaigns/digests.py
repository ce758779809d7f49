"""The content of anything that is loaded, as one hash: equal content gives equal hashes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from d3rlpy_distill import Distilled, OfflineDataset
from d3rlpy_distill.data import read_episodes, read_info
from d3rlpy_distill.errors import DistillError
from d3rlpy_distill.evaluation.results import Results
from d3rlpy_distill.evaluation.store import EvaluationStore
from d3rlpy_distill.files import load_state, load_tensors, read_document
from d3rlpy_distill.students.kept import load_student, read_weights
from d3rlpy_distill.sweeping import load_sweep
from d3rlpy_distill.tasks import make_task
from procgen_datasets.expert import load_expert

from .children import command

__all__ = ["ARGUMENTS", "IDENTITY", "LOADERS", "digest"]

IDENTITY = "identity.json"
"""What an evaluation's record says, beside it and never damaged."""

ARGUMENTS = "arguments.json"
"""The command that a checkpoint is of, likewise."""


def digest(value: object) -> str:
    """The SHA-256 of nested arrays, tensors, numbers and texts, hexadecimal."""
    hashed = hashlib.sha256()
    _feed(hashed.update, value)
    return hashed.hexdigest()


def _feed(update: Callable[[bytes], None], value: object) -> None:
    if isinstance(value, torch.Tensor):
        update(f"{value.dtype}{tuple(value.shape)}".encode())
        update(value.detach().to_dense().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        update(f"{array.dtype}{array.shape}".encode())
        update(np.ascontiguousarray(array).tobytes())
    elif isinstance(value, Mapping):
        update(b"{%d" % len(value))
        for key in sorted(value, key=str):
            _feed(update, key)
            _feed(update, value[key])
    elif isinstance(value, list | tuple):
        update(b"[%d" % len(value))
        for item in value:
            _feed(update, item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            _feed(update, getattr(value, field.name))
    else:
        update(f"{type(value).__name__} {value!r};".encode())


def dataset(path: Path) -> str:
    """All that ``collect`` and ``import`` write."""
    whole = OfflineDataset.load(path)
    info = dataclasses.replace(read_info(path), path=Path("x"))
    episodes = [(e.observations, e.actions, e.rewards, e.terminated, e.info, e.steps) for e in read_episodes(path)]
    buffer = [(e.observations, e.actions, e.rewards, e.terminated) for e in whole.buffer.episodes]
    return digest([_known(info), buffer, episodes, whole.behaviour, whole.task, whole.sha256])


def mapped(path: Path) -> str:
    """A dataset whose observations lie in a file beside it."""
    whole = OfflineDataset.load(path, mapped=True)
    episodes = [
        (np.array(e.observations), np.array(e.actions), e.rewards, e.terminated) for e in whole.buffer.episodes
    ]
    data = whole.transitions
    return digest([episodes, np.asarray(data.observations), data.actions, data.rewards, data.terminals])


def _known(info: Any) -> dict[str, Any]:
    known = {field.name: getattr(info, field.name) for field in dataclasses.fields(info) if field.name != "path"}
    known["provenance"] = None if info.provenance is None else info.provenance.to_attributes()
    return known


def distilled(path: Path) -> str:
    """All that ``distill`` writes."""
    one = Distilled.load(path)
    teachers = one.teachers and [one.teachers.config.serialize(), one.teachers.weights]
    provenance = one.provenance and one.provenance.to_attributes()
    return digest([one.samples, one.sources, one.initial, teachers, provenance, one.sha256])


def samples(path: Path) -> str:
    """The part of a distilled set of version 0.1 that its record vouches for."""
    one = Distilled.load(path)
    return digest([one.samples.observations, one.samples.actions, one.samples.rewards, one.recorded_sha256])


def state(path: Path) -> str:
    return digest(load_state(path))


def student(path: Path) -> str:
    kept = load_student(path)
    return digest([read_weights(path)[0], kept.shape, kept.action_size, kept.learner.config.serialize()])


def tensors(path: Path) -> str:
    return digest(load_tensors(path))


def document(path: Path) -> str:
    return digest(read_document(path))


def results(path: Path) -> str:
    loaded = Results.load(path)
    return digest([loaded.to_json(), [arm.returns for arm in loaded.arms]])


def sweep(path: Path) -> str:
    cells = load_sweep(path)
    returns = [arm.returns for cell in cells for arm in cell.results.arms]
    return digest([[cell.to_json() for cell in cells], returns])


def expert(path: Path) -> str:
    one = load_expert(path)
    return digest([dict(one.network.state_dict()), one.architecture, dict(one.card), one.name])


def policy(path: Path) -> str:
    loaded = make_task("gym/CartPole-v1").load_policy(str(path), trust=True)
    observations = torch.linspace(-1, 1, 40).reshape(10, 4)
    logits = loaded.policy.logits(observations)  # type: ignore[union-attr]
    card = path.with_suffix(".json")
    return digest([logits, loaded.sha256, json.loads(card.read_bytes())])


def actor(path: Path) -> str:
    loaded = make_task("gym/Pendulum-v1").load_policy(str(path))
    actions = loaded.policy.actions(torch.linspace(-1, 1, 30).reshape(10, 3))  # type: ignore[union-attr]
    return digest([actions, loaded.sha256, json.loads(path.with_suffix(".json").read_bytes())])


def kept_returns(path: Path) -> str:
    """The returns of one arm, as a resumed evaluation reads them."""
    arm, split, mode = path.stem.rsplit("-", 2)
    return digest(_store(path.parent.parent).load_returns(arm, split, mode))


def record(path: Path) -> str:
    """``evaluation.json``: that a resumed evaluation finds its own."""
    return digest(sorted(one.name for one in _store(path.parent).directory.iterdir() if one.suffix == ".json"))


def _store(directory: Path) -> EvaluationStore:
    known = json.loads((directory / IDENTITY).read_bytes())
    return EvaluationStore(directory, known)


def resumed(path: Path) -> str:
    """A checkpoint of a distillation: what its command makes of it."""
    out = path.with_suffix("")
    ended = command(*json.loads(path.with_name(ARGUMENTS).read_bytes()), "--out", out)
    if ended.code != 0:
        raise DistillError(ended.err.removeprefix("Error: ").strip())
    return digest(distilled(out))


LOADERS: Mapping[str, Callable[[Path], str]] = {
    one.__name__: one
    for one in (
        dataset, distilled, samples, state, student, tensors, document, results, sweep, expert, policy,
        actor, kept_returns, mapped, record, resumed,
    )
}  # fmt: skip
