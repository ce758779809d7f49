"""Sharpened actions and shared observations: closed forms, counts, and what a student can learn from them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from d3rlpy.algos import BCConfig, DiscreteBCConfig, DQNConfig
from d3rlpy.models.encoders import VectorEncoderFactory

from buffers import distil, make_buffer
from d3rlpy_distill import (
    Distilled,
    GradientMatchingConfig,
    OfflineDataset,
    TransitionArrays,
    UnrolledMatchingConfig,
    evaluate,
)
from d3rlpy_distill.data.allocation import allocate
from d3rlpy_distill.data.relabel import relabel, sharpen, transition_probabilities
from d3rlpy_distill.errors import DistillError, SettingsError, UnsuitableDatasetError
from d3rlpy_distill.evaluation import Protocol
from d3rlpy_distill.learners.training import train_learner
from d3rlpy_distill.methods.prior import PriorMethod
from d3rlpy_distill.pipeline import distill
from d3rlpy_distill.students import Budget
from d3rlpy_distill.students.cloning import ImitatorPolicy

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
        (rows * 2, "sum to .*: expected 1"),
        (rows - 0.2, "below 0"),
        (np.where(rows > 0.5, np.nan, rows), "not finite"),
    ):
        with pytest.raises(UnsuitableDatasetError, match=message):
            transition_probabilities(buffer, data, bad)


def test_shared_observations_carry_every_action_alike() -> None:
    buffer = make_buffer([300], shape=(5,), action_size=4)
    method = GradientMatchingConfig(
        learner=LEARNER, n_samples=40, steps=0, shared_observations=4, output_dtype="float32"
    )
    distilled = distil(method, buffer, seed=3)
    data = distilled.samples
    observations, group = np.unique(data.observations, axis=0, return_inverse=True)
    counts = np.array([np.bincount(data.actions[group.ravel() == k], minlength=4) for k in range(4)])
    per_action = allocate(40, TransitionArrays.from_buffer(buffer).action_counts(), "frequency")
    assert len(observations) == 4 and (counts.sum(0) == per_action).all()
    assert (np.abs(counts - per_action / 4) < 1).all()
    real = TransitionArrays.from_buffer(buffer)
    np.testing.assert_array_equal(data.observations, real.observations[distilled.sources])
    assert distilled.initial is not None
    np.testing.assert_array_equal(distilled.initial.actions, data.actions)


def test_a_student_of_the_prior_learns_the_frequencies_and_no_more() -> None:
    """However long: 800 steps on 40 samples of its own leave a student far more certain than the frequencies."""
    buffer = make_buffer([300], shape=(5,), action_size=4)
    data = TransitionArrays.from_buffer(buffer)
    frequencies = data.action_counts() / len(data)
    config = dataclasses.replace(LEARNER, learning_rate=1e-2, batch_size=40)
    unseen = torch.from_numpy(np.random.default_rng(0).random((200, 5), dtype=np.float32))

    def spread(distilled: Distilled) -> float:
        samples = dataclasses.replace(
            distilled.samples, observations=distilled.samples.observations.astype(np.float32) / 255
        )
        students = [ImitatorPolicy(train_learner(config, samples, 800, seed=seed)) for seed in range(2)]
        p = torch.stack([torch.softmax(student.logits(unseen), 1) for student in students]).numpy()
        return float(np.abs(p - frequencies).mean())

    prior = spread(distil(PriorMethod(n_samples=40, n_observations=5), buffer))
    own = spread(distil(GradientMatchingConfig(learner=LEARNER, n_samples=40, steps=0), buffer))
    # over six seeds a single student's own is 0.15 to 0.22, the prior's 0.01 to 0.03; of two, 0.19 and 0.02
    assert prior < 0.05 < 0.15 < own


@pytest.mark.parametrize("method", [GradientMatchingConfig, UnrolledMatchingConfig])
def test_both_methods_match_the_sharpened_actions(method: type[GradientMatchingConfig]) -> None:
    buffer = make_buffer([100], shape=(5,), action_size=3)
    probabilities = np.tile([0.6, 0.4, 0.0], (100, 1))
    config = method(learner=LEARNER, n_samples=30, steps=2, sharpness=4.0, output_dtype="float32")
    data = distil(config, buffer, behaviour=probabilities).samples
    # 0.6^4 : 0.4^4 is 0.835 : 0.165, and 30 samples follow the drawn actions' frequencies
    assert set(data.actions) == {0, 1} and (data.actions == 0).mean() > 0.7
    with pytest.raises(SettingsError, match=r"sharpness=4\.0: the dataset records no action probabilities"):
        distil(config, buffer)
    taken = distil(dataclasses.replace(config, sharpness=None), buffer, behaviour=probabilities).samples
    assert set(taken.actions) == {0, 1, 2}  # recorded, and not asked for


def test_bad_settings_are_refused() -> None:
    for settings, message in (
        ({"sharpness": 0.0}, r"sharpness=0\.0: expected above 0 or None"),
        ({"sharpness": float("nan")}, "sharpness=nan: expected above 0 or None"),
        ({"shared_observations": 0}, "shared_observations=0: expected 1 or more or None"),
        ({"shared_observations": 151}, "shared_observations=151: expected 1 to n_samples, 150"),
    ):
        with pytest.raises(SettingsError, match=message):
            GradientMatchingConfig(learner=LEARNER, **settings)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="sharpness with BCConfig: for DiscreteBCConfig only"):
        GradientMatchingConfig(learner=BCConfig(), sharpness=2.0)
    with pytest.raises(SettingsError, match="shared_observations with DQNConfig: for DiscreteBCConfig only"):
        GradientMatchingConfig(learner=DQNConfig(), shared_observations=2)
    with pytest.raises(SettingsError, match="n_observations=0"):
        PriorMethod(n_samples=5, n_observations=0)


def test_a_method_takes_its_own_settings_only(distilled_file: Path) -> None:
    dataset = OfflineDataset(make_buffer([30, 30]), behaviour=np.full((60, 4), 0.25))
    mine = {"window": 2, "horizon": 4, "sharpness": 3.0, "shared_observations": 5}
    few = {"n_samples": 20, "steps": 1}
    distilled = distill(dataset, "unrolled", **few, **mine)
    assert distilled.provenance is not None
    config = distilled.provenance.settings["config"]
    assert config["method"] == "UnrolledMatchingConfig" and {name: config[name] for name in mine} == mine
    with pytest.raises(
        SettingsError, match=r"window: GradientMatchingConfig has no such setting; expected some of"
    ):
        distill(dataset, "gradient", window=3, **few)
    with pytest.raises(SettingsError, match="grouping: UnrolledMatchingConfig has no such setting"):
        distill(dataset, "unrolled", grouping="batch", **few)
    with pytest.raises(
        SettingsError, match="percent: RandomCoreset has no such setting; expected some of n_samples"
    ):
        distill(dataset, "random", percent=50)
    without = OfflineDataset.load(distilled_file)
    with pytest.raises(SettingsError, match="sharpness 2: the dataset records no action probabilities"):
        distill(without, sharpness=2.0, n_samples=5)


def test_evaluate_takes_further_sets_and_chosen_arms(
    starpilot_dataset: OfflineDataset, distilled_file: Path
) -> None:
    distilled = Distilled.load(distilled_file)
    quick = Protocol(students=1, episodes=1, small=Budget(1, 15))
    arms = ["expert", "prior-20", "distilled-20", "paper-20"]
    results = evaluate(
        starpilot_dataset, distilled, also={"paper-20": distilled}, protocol=quick, arms=arms, splits=["id"]
    )
    assert list(dict.fromkeys(arm.name for arm in results.arms)) == arms
    with pytest.raises(SettingsError, match="arm 'bc-99': expected some of random-policy,expert,bc-10,"):
        evaluate(starpilot_dataset, distilled, arms=["bc-99"])
    with pytest.raises(SettingsError, match="the table has an arm of that name"):
        evaluate(starpilot_dataset, distilled, also={"distilled-20": distilled})
    with pytest.raises(SettingsError, match="the table has an arm of that name"):
        evaluate(starpilot_dataset, distilled, also={"random-150": distilled})
    other = distill(OfflineDataset(make_buffer([30], action_size=15, shape=(3, 64, 64))), "random", n_samples=5)
    with pytest.raises(DistillError, match=r"x was not distilled from starpilot\.h5"):
        evaluate(starpilot_dataset, distilled, also={"x": other})
