"""The same commands on a GPU: what a CPU does, in other roundings. Skipped where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from commands import run
from d3rlpy_distill import Distilled

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

GPU = "cuda:0"
METHODS = {
    "gradient": ("--steps", 3),
    "unrolled": ("--steps", 3, "--window", 2, "--horizon", 4),
    "labels": ("--teacher-steps", 4),
    "unrolled-labels": ("--teacher-steps", 4, "--moves", 4, "--window", 2, "--horizon", 8),
    "kernel": ("--teacher-steps", 4, "--moves", 4),
}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cuda") / "starpilot.h5"
    run("collect", "procgen/starpilot", "--episodes", 3, "--device", GPU, "--out", path)
    return path


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("student", ["paper", "impala-s2d"])
def test_a_method_moves_samples_on_a_gpu_as_on_a_cpu(
    played: Path, tmp_path: Path, method: str, student: str
) -> None:
    """A few steps of the same seed end in samples and labels close to the CPU's."""
    made = {}
    for device in (GPU, "cpu:0"):
        out = tmp_path / f"{device.replace(':', '')}.h5"
        options = ("--method", method, "--student", student, "--samples", 30, "--device", device)
        result = run("distill", played, *options, *METHODS[method], "--out", out)
        assert result.exit_code == 0, result.output
        made[device] = Distilled.load(out)
    gpu, cpu = made.values()
    if method == "labels":  # which frames are far apart may hang on roundings
        assert gpu.samples.probabilities is not None
        assert np.allclose(gpu.samples.probabilities.sum(1), 1, atol=1e-3)
        return
    if gpu.initial is not None and cpu.initial is not None:
        np.testing.assert_array_equal(gpu.initial.observations, cpu.initial.observations)
        # Adam's first steps have one size whatever a gradient's: signs of small ones hang on roundings
        moves = [each.samples.observations.astype(float) - each.initial.observations for each in (gpu, cpu)]
        assert np.corrcoef(moves[0].ravel(), moves[1].ravel())[0, 1] > 0.2
    if gpu.samples.probabilities is not None and cpu.samples.probabilities is not None:
        assert np.abs(gpu.samples.probabilities - cpu.samples.probabilities).mean() < 0.02


def test_students_train_and_play_on_a_gpu(played: Path, tmp_path: Path) -> None:
    small = tmp_path / "random.h5"
    assert run("distill", played, "--method", "random", "--samples", 30, "--out", small).exit_code == 0
    options = ("--students", 2, "--episodes", 2, "--full-steps", 5, "--small-steps", 5, "--converged-steps", 5)
    result = run("evaluate", played, small, *options, "--device", GPU, "--out", tmp_path / "results", "--json")
    assert result.exit_code == 0, result.output
    arms = json.loads(result.stdout)["arms"]
    assert {"bc-100", "random-30", "distilled-30"} <= {arm["name"] for arm in arms}
    assert all(np.isfinite(arm["mean"]) for arm in arms)
