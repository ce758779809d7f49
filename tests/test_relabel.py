"""Sharpened actions and shared observations: closed forms, counts, and what a student can learn from them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from d3rlpy.algos import BCConfig, DiscreteBCConfig, DQNConfig
from d3rlpy.models.encoders import VectorEncoderFactory

from buffers import make_buffer
from commands import fails, run
from d3rlpy_distill import (
    GradientMatchingConfig,
    PriorSelector,
    TransitionArrays,
    UnrolledMatchingConfig,
    UnsuitableDatasetError,
    train_student,
)
from d3rlpy_distill.allocation import allocate
from d3rlpy_distill.evaluation.players import StudentPolicy
from d3rlpy_distill.relabel import relabel, sharpen, transition_probabilities
from procgen_datasets import read_info

LEARNER = DiscreteBCConfig(batch_size=16, beta=0.0, encoder_factory=VectorEncoderFactory(hidden_units=[8]))


def test_sharpening_by_hand_and_without_underflow() -> None:
    p = np.array([[0.5, 0.25, 0.25, 0.0]])
    np.testing.assert_allclose(sharpen(p, 2.0), [[4 / 6, 1 / 6, 1 / 6, 0]])
    np.testing.assert_allclose(sharpen(p, 1.0), p)
    tiny = np.array([[1e-30, 2e-30]], np.float32) / np.float32(3e-30)
    np.testing.assert_allclose(sharpen(tiny, 200.0), [[0, 1]], atol=1e-12)
    np.testing.assert_allclose(sharpen(np.full((1, 15), 1 / 15), 500.0), 1 / 15)


def test_drawn_actions_follow_the_sharpened_policy(rng: np.random.Generator) -> None:
    buffer = make_buffer([20000], shape=(2,))
    data = TransitionArrays.from_buffer(buffer)
    p = np.tile([0.1, 0.2, 0.3, 0.4], (len(data), 1))
    p[: len(data) // 2] = [0.0, 1.0, 0.0, 0.0]
    drawn = relabel(data, p, 2.0, rng)
    assert set(drawn.actions[: len(data) // 2]) == {1}
    share = np.bincount(drawn.actions[len(data) // 2 :], minlength=4) / (len(data) // 2)
    # a share of 10,000 draws has a standard deviation of at most 0.005
    np.testing.assert_allclose(share, np.array([1, 4, 9, 16]) / 30, atol=0.025)
    for field in dataclasses.fields(data):
        if field.name != "actions":
            assert getattr(drawn, field.name) is getattr(data, field.name)


def test_probabilities_are_those_of_the_transitions(rng: np.random.Generator) -> None:
    """The last step of a timed-out episode is no transition; its row is passed over."""
    buffer = make_buffer([3, 2, 4], shape=(2,), terminated=False)
    data = TransitionArrays.from_buffer(buffer)
    rows = np.eye(4)[rng.integers(4, size=9)] * 0.6 + 0.1
    np.testing.assert_array_equal(transition_probabilities(buffer, data, rows), rows[[0, 1, 3, 5, 6, 7]])
    for bad, message in (
        (rows[:5], r"\(5, 4\): expected \(9, 4\)"),
        (rows * 2, "do not sum to 1"),
        (rows - 0.2, "below 0"),
        (np.where(rows > 0.5, np.nan, rows), "not finite"),
    ):
        with pytest.raises(UnsuitableDatasetError, match=message):
            transition_probabilities(buffer, data, bad)


def test_shared_observations_carry_every_action_alike() -> None:
    buffer = make_buffer([300], shape=(5,), action_size=4)
    config = GradientMatchingConfig(
        learner=LEARNER, n_samples=40, shared_observations=4, output_dtype="float32", seed=3
    )
    distiller = config.create()
    data = TransitionArrays.from_buffer(distiller.fit(buffer, 0))
    observations, group = np.unique(data.observations, axis=0, return_inverse=True)
    counts = np.array([np.bincount(data.actions[group.ravel() == k], minlength=4) for k in range(4)])
    per_action = allocate(40, TransitionArrays.from_buffer(buffer).action_counts(), "frequency")
    assert len(observations) == 4 and (counts.sum(0) == per_action).all()
    assert (np.abs(counts - per_action / 4) < 1).all()
    real = TransitionArrays.from_buffer(buffer)
    np.testing.assert_array_equal(data.observations, real.observations[distiller.source_index])
    initial = TransitionArrays.from_buffer(distiller.initial)
    np.testing.assert_array_equal(initial.actions, data.actions)


def test_a_student_of_the_prior_learns_the_frequencies_and_no_more() -> None:
    """However long: 800 steps on 40 samples of its own leave a student far more certain than the frequencies."""
    buffer = make_buffer([300], shape=(5,), action_size=4)
    data = TransitionArrays.from_buffer(buffer)
    frequencies = data.action_counts() / len(data)
    config = dataclasses.replace(LEARNER, learning_rate=1e-2, batch_size=40)
    unseen = torch.from_numpy(np.random.default_rng(0).random((200, 5), dtype=np.float32))

    def spread(samples: TransitionArrays) -> float:
        students = [StudentPolicy(train_student(config, samples, 800, seed=seed)) for seed in range(2)]
        p = torch.stack([torch.softmax(student.logits(unseen), 1) for student in students]).numpy()
        return float(np.abs(p - frequencies).mean())

    def scaled(buffer_: object) -> TransitionArrays:
        arrays = TransitionArrays.from_buffer(buffer_)  # type: ignore[arg-type]
        return dataclasses.replace(arrays, observations=arrays.observations.astype(np.float32) / 255)

    prior = spread(scaled(PriorSelector(40, n_observations=5).select(buffer, np.random.default_rng(0))))
    own = spread(scaled(GradientMatchingConfig(learner=LEARNER, n_samples=40).create().fit(buffer, 0)))
    # over six seeds a single student's own is 0.15 to 0.22, the prior's 0.01 to 0.03; of two, 0.19 and 0.02
    assert prior < 0.05 < 0.15 < own


@pytest.mark.parametrize("config", [GradientMatchingConfig, UnrolledMatchingConfig])
def test_both_methods_match_the_sharpened_actions(config: type[GradientMatchingConfig]) -> None:
    buffer = make_buffer([100], shape=(5,), action_size=3)
    probabilities = np.tile([0.6, 0.4, 0.0], (100, 1))
    settings = {"learner": LEARNER, "n_samples": 30, "sharpness": 4.0, "output_dtype": "float32"}
    distiller = config(**settings).create()  # type: ignore[arg-type]
    data = TransitionArrays.from_buffer(distiller.fit(buffer, 2, probabilities=probabilities))
    assert set(data.actions) == {0, 1} and (data.actions == 0).mean() > 0.7
    with pytest.raises(ValueError, match=r"probabilities missing with sharpness=4\.0"):
        distiller.fit(buffer, 0)
    with pytest.raises(ValueError, match="probabilities given with sharpness=None"):
        config(learner=LEARNER).create().fit(buffer, 0, probabilities=probabilities)


def test_bad_settings_are_refused() -> None:
    for settings, message in (
        ({"sharpness": 0.0}, "sharpness=0.0: expected above 0"),
        ({"shared_observations": 0}, "shared_observations=0: expected 1 to n_samples, 150"),
        ({"shared_observations": 151}, "shared_observations=151: expected 1 to n_samples, 150"),
    ):
        with pytest.raises(ValueError, match=message):
            GradientMatchingConfig(learner=LEARNER, **settings)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="sharpness with BCConfig: for DiscreteBCConfig only"):
        GradientMatchingConfig(learner=BCConfig(), sharpness=2.0)
    with pytest.raises(ValueError, match="shared_observations with DQNConfig: for DiscreteBCConfig only"):
        GradientMatchingConfig(learner=DQNConfig(), shared_observations=2)
    with pytest.raises(ValueError, match="n_observations=0"):
        PriorSelector(5, n_observations=0)


def test_the_command_takes_method_sharpness_and_start(
    starpilot_file: Path, distilled_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "unrolled.h5"
    settings = [
        "--method",
        "unrolled",
        "--window",
        2,
        "--horizon",
        4,
        "--sharpness",
        3,
        "--shared-observations",
        5,
    ]
    result = run("distill", starpilot_file, "--samples", 20, "--steps", 1, *settings, "--out", out)
    assert result.exit_code == 0, result.output
    provenance = read_info(out).provenance
    assert provenance is not None
    config = provenance.settings["config"]
    chosen = ("method", "window", "horizon", "sharpness", "shared_observations")
    assert [config[name] for name in chosen] == ["UnrolledMatchingConfig", 2, 4, 3.0, 5]
    small = ["--samples", 20, "--out", tmp_path / "x.h5"]
    fails(2, "--window is for --method unrolled", "distill", starpilot_file, "--window", 3, *small)
    fails(2, "--grouping is for --method gradient", "distill", starpilot_file, *settings, "--grouping", "batch")
    fails(2, "records no action probabilities", "distill", distilled_file, "--sharpness", 2, *small)


def test_evaluate_takes_further_files_and_chosen_arms(
    starpilot_file: Path, distilled_file: Path, tmp_path: Path
) -> None:
    files = [starpilot_file, distilled_file]
    quick = ["--students", 1, "--episodes", 1, "--synthetic-steps", 1, "--out", tmp_path / "r"]
    also = ["--also", f"paper-20={distilled_file}"]
    result = run("evaluate", *files, *quick, *also, "--arms", "expert,prior-20,distilled-20,paper-20", "--json")
    assert result.exit_code == 0, result.output
    names = [arm["name"] for arm in json.loads(result.stdout)["arms"]]
    assert list(dict.fromkeys(names)) == ["expert", "prior-20", "distilled-20", "paper-20"]
    fails(2, "--arms 'bc-99': expected some of random-policy,expert,bc-10,", "evaluate", *files, "--arms", "bc-99")
    fails(2, "expected NAME=FILE", "evaluate", *files, "--also", "paper")
    fails(2, "the table has an arm of that name", "evaluate", *files, "--also", f"random-150={distilled_file}")
    fails(1, "was not distilled from", "evaluate", *files, "--also", f"x={starpilot_file}")
    fails(2, "leave them out with --algos", "evaluate", *files, *also, "--algos", "bc")
