"""A student's ``fit`` is watched as d3rlpy's own: progress bars, metrics, models; and trains the same either way."""

from __future__ import annotations

import json
from pathlib import Path

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.logging import FileAdapterFactory

from d3rlpy_distill import OfflineDataset
from d3rlpy_distill.catalogue import STUDENTS
from d3rlpy_distill.data.training_set import TrainingSet
from d3rlpy_distill.errors import SettingsError
from test_students import DATASETS, TINY

NAMES = ("mlp", "bc", "dqn", "dt")


@pytest.mark.parametrize("name", NAMES)
def test_metrics_and_models_of_every_epoch_are_kept(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = OfflineDataset(DATASETS["vectors, discrete"]())
    student, data = STUDENTS.get(name)(), TrainingSet(dataset.transitions, dataset.buffer)
    config = student.learner(dataset, TINY)
    silent = student.fit(config, data, 6, seed=1)
    assert capsys.readouterr().err == ""
    steps: list[int] = []
    watched = student.fit(
        student.learner(dataset, TINY),
        data,
        6,
        seed=1,
        on_step=steps.append,
        show_progress=True,
        logger_adapter=FileAdapterFactory(str(tmp_path)),
        n_steps_per_epoch=2,
    )
    assert steps == [1, 2, 3, 4, 5, 6]
    assert "Epoch 3/3" in capsys.readouterr().err
    weights, same = student.weights(silent), student.weights(watched)
    assert all(torch.equal(weights[key], same[key]) for key in weights)
    (logs,) = tmp_path.iterdir()  # as d3rlpy names it: the algorithm, and the time
    assert logs.name.startswith(f"{type(watched).__name__}_")
    metrics = [line.split(",") for line in (logs / "loss.csv").read_text().split()]
    assert [(int(epoch), int(step)) for epoch, step, _ in metrics] == [(1, 2), (2, 4), (3, 6)]
    assert np.isfinite([float(loss) for _, _, loss in metrics]).all()
    assert json.loads((logs / "params.json").read_text())["action_size"] == 3
    last = d3rlpy.load_learnable(str(logs / "model_6.d3"))
    assert type(last) is type(watched)
    kept = student.weights(last)
    assert all(torch.equal(kept[key], same[key]) for key in same)


@pytest.mark.parametrize("name", NAMES)
def test_epochs_that_do_not_make_up_the_training_are_refused(name: str) -> None:
    """d3rlpy itself trains n_steps // n_steps_per_epoch epochs, and leaves the rest out without a word."""
    dataset = OfflineDataset(DATASETS["vectors, discrete"]())
    student, data = STUDENTS.get(name)(), TrainingSet(dataset.transitions, dataset.buffer)
    with pytest.raises(SettingsError, match="n_steps_per_epoch=4: expected a divisor of n_steps=6"):
        student.fit(student.learner(dataset, TINY), data, 6, seed=1, n_steps_per_epoch=4)
