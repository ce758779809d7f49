"""Soft labels in a file: the samples' probabilities, and the teachers that gave them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import rich_click as click

if TYPE_CHECKING:
    import torch

    from d3rlpy_distill import Teachers
    from procgen_datasets.hdf5 import DatasetInfo

__all__ = ["read_soft_labels", "read_teachers", "reuse_teachers", "teacher_groups"]


def teacher_groups(teachers: Teachers) -> dict[str, npt.NDArray[np.float32]]:
    """Returns the weights as extra arrays of a file, ``teachers/T.NAME``; inverse of :func:`read_teachers`."""
    return {
        f"teachers/{t}.{name}": value.cpu().numpy()
        for t, weights in enumerate(teachers.weights)
        for name, value in weights.items()
    }


def read_teachers(
    path: Path, info: DatasetInfo, observation_shape: tuple[int, ...], device: str
) -> Teachers | None:
    """Returns a distilled file's teachers; None if its labels are not soft."""
    from d3rlpy.algos import DiscreteBCConfig

    from d3rlpy_distill import Teachers

    weights = _read_weights(path)
    if not weights or info.provenance is None:
        return None
    learner = DiscreteBCConfig.deserialize_from_dict(info.provenance.settings["config"]["learner"])
    assert isinstance(learner, DiscreteBCConfig)
    return Teachers(learner, weights, observation_shape, info.action_size, device=device)


def reuse_teachers(
    path: Path, dataset: DatasetInfo, buffer: Any, config: Any, device: str
) -> tuple[Teachers, str]:
    """Returns the teachers of another distillation of the same dataset, and the hash of the file.

    Args:
        path: A file of ``--method labels``.
        dataset: The dataset that it, too, has to be distilled from.
        buffer: That dataset; the learner's scalers are fitted to it.
        config: The present configuration, which only its number of samples may tell from the file's.
        device: torch device.

    Raises:
        click.ClickException: If they do not belong together.
    """
    from d3rlpy_distill import Teachers
    from d3rlpy_distill.scalers import fit_scalers
    from d3rlpy_distill.transitions import channel_first
    from procgen_datasets.hdf5 import read_info

    info = read_info(path)
    weights = _read_weights(path)
    if not weights or info.provenance is None or info.content_sha256 is None:
        raise click.ClickException(
            f"{path} has no teachers: expected a file of 'rld-distill distill --method labels'."
        )
    theirs = info.provenance.settings
    if theirs["source_sha256"] != dataset.content_sha256:
        raise click.ClickException(
            f"{path} was distilled from {theirs['source']!r}, not from {dataset.path}: teachers are for the "
            "dataset that they were trained on."
        )
    for name, value in json.loads(json.dumps(config.to_json())).items():
        known = theirs["config"].get(name)
        if name != "n_samples" and value != known:
            raise click.ClickException(
                f"{path}'s teachers have {name}={known!r}, asked for was {value!r}: give the options that the "
                "file was made with, but for --samples."
            )
    fit_scalers(config.learner, buffer)
    shape = channel_first(np.asarray(buffer.episodes[0].observations[:1])).shape[1:]
    teachers = Teachers(config.learner, weights, shape, dataset.action_size, device=device)
    return teachers, info.content_sha256


def _read_weights(path: Path) -> list[dict[str, torch.Tensor]]:
    import torch

    from procgen_datasets.hdf5 import read_extras

    weights: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in read_extras(path, "teachers").items():
        number, _, name = key.partition(".")
        weights.setdefault(number, {})[name] = torch.from_numpy(value)
    return [weights[number] for number in sorted(weights, key=int)]


def read_soft_labels(path: Path) -> npt.NDArray[np.float32]:
    """Returns the probability of each action that each sample is to be imitated with, float32 ``(M, A)``.

    Raises:
        click.ClickException: If the file lacks them.
    """
    from procgen_datasets.hdf5 import read_extras

    labels: npt.NDArray[Any] | None = read_extras(path, "steps").get("action_probabilities")
    if labels is None:
        raise click.ClickException(
            f"{path} has teachers but no steps/action_probabilities: make it again with 'rld-distill distill "
            "--method labels'."
        )
    return labels.astype(np.float32)
