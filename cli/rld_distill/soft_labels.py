"""Soft labels in a file: the samples' probabilities, and the teachers that gave them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import rich_click as click

if TYPE_CHECKING:
    from d3rlpy_distill import Teachers
    from procgen_datasets.hdf5 import DatasetInfo

__all__ = ["read_soft_labels", "read_teachers", "teacher_groups"]


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
    import torch
    from d3rlpy.algos import DiscreteBCConfig

    from d3rlpy_distill import Teachers
    from procgen_datasets.hdf5 import read_extras

    arrays = read_extras(path, "teachers")
    if not arrays or info.provenance is None:
        return None
    weights: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in arrays.items():
        number, _, name = key.partition(".")
        weights.setdefault(number, {})[name] = torch.from_numpy(value)
    learner = DiscreteBCConfig.deserialize_from_dict(info.provenance.settings["config"]["learner"])
    assert isinstance(learner, DiscreteBCConfig)
    ordered = [weights[number] for number in sorted(weights, key=int)]
    return Teachers(learner, ordered, observation_shape, info.action_size, device=device)


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
