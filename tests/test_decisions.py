"""Whose decisions are imitated, and which real states count more: against brute force."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from d3rlpy.algos import BCConfig, DiscreteBCConfig, IQLConfig, TD3PlusBCConfig
from d3rlpy.models.encoders import VectorEncoderFactory

from buffers import distil, vectors
from d3rlpy_distill import OfflineDataset, Run, TransitionArrays, UnrolledMatchingConfig
from d3rlpy_distill.catalogue import STUDENTS
from d3rlpy_distill.data.training_set import TrainingSet
from d3rlpy_distill.errors import SettingsError, UnsuitableDatasetError
from d3rlpy_distill.evaluation import ArmKind, Protocol, standard_arms
from d3rlpy_distill.learners.learner import build_learner, learner_network
from d3rlpy_distill.methods.decisions import (
    RealRows,
    ValuedPolicy,
    density_weights,
    policy_actions,
    value_weights,
)
from d3rlpy_distill.methods.kernel_actions import ActionKernelConfig
from d3rlpy_distill.methods.student_teaching import StudentTeaching
from d3rlpy_distill.students.base import Budget
from d3rlpy_distill.tasks import LoadedPolicy

LEARNER = BCConfig(batch_size=4, encoder_factory=VectorEncoderFactory(hidden_units=[6], activation="tanh"))


class Plain:
    """A policy that knows no values."""

    def actions(self, observations: torch.Tensor) -> torch.Tensor:
        return torch.tanh(observations[:, 1:])


class Valued(Plain):
    """Values: the sum of what is seen and done."""

    def values(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return observations.sum(1) + actions.sum(1)


@pytest.mark.parametrize("kind", [UnrolledMatchingConfig, ActionKernelConfig])
def test_imitating_a_policy_is_distilling_data_that_it_labelled(kind: type[Any]) -> None:
    buffer = vectors(continuous=True)
    labelled = vectors(continuous=True)
    for episode in labelled.episodes:
        episode.actions[:] = Plain().actions(torch.from_numpy(np.asarray(episode.observations))).numpy()
    common: dict[str, Any] = {
        "learner": LEARNER, "n_samples": 6, "steps": 4, "output_dtype": "float32", "learn_actions": True,
    }  # fmt: skip
    imitated = distil(kind(**common, imitate="policy", policy=Plain()), buffer)
    expected = distil(kind(**common), labelled)
    np.testing.assert_array_equal(imitated.samples.observations, expected.samples.observations)
    np.testing.assert_array_equal(imitated.samples.actions, expected.samples.actions)
    assert imitated.initial is not None and expected.initial is not None
    np.testing.assert_array_equal(imitated.initial.actions, expected.initial.actions)  # the arm to beat
    taken = distil(kind(**common), buffer)
    assert not np.allclose(taken.samples.actions, imitated.samples.actions)


def test_students_of_the_data_are_imitated() -> None:
    """The mean of what they do, trained on the same transitions, labels all real states and the start."""
    dataset = OfflineDataset(vectors(continuous=True))
    method = ActionKernelConfig(
        learner=LEARNER, n_samples=6, steps=0, output_dtype="float32", imitate="students", n_teachers=3,
        teacher_steps=5, teacher_percent=60.0,
    )  # fmt: skip
    assert (method.total_steps, method.option_steps, method.taught_steps) == (15, 0, 15)
    made = method.distill(dataset, np.random.default_rng(1))
    assert made.initial is not None and made.sources is not None
    best, everything = dataset.best(60.0)[0], dataset.transitions
    assert len(best) < len(everything)
    rng = np.random.default_rng(1)
    rng.choice(len(everything), 6, replace=False)  # where the samples start is drawn before
    teaching = StudentTeaching(method.learner, best, everything, 3, 5, rng, "cpu:0")  # type: ignore[arg-type]
    while not teaching.done:
        teaching.step()
    said = []
    for weights in teaching._training.weights():
        student = build_learner(method.learner, (3,), 2, seed=9)
        learner_network(student).load_state_dict(weights)
        said.append(student.predict(everything.observations))
    assert len(said) == 3 and not np.allclose(said[0], said[1])
    np.testing.assert_allclose(teaching.labelled().actions, np.mean(said, 0), atol=1e-6)
    np.testing.assert_allclose(made.initial.actions, np.mean(said, 0)[made.sources], atol=1e-6)
    np.testing.assert_array_equal(made.initial.observations, everything.observations[made.sources])


def test_students_of_one_episode_are_refused() -> None:
    method = ActionKernelConfig(
        learner=LEARNER, n_samples=6, output_dtype="float32", imitate="students", teacher_percent=1.0
    )
    with pytest.raises(
        UnsuitableDatasetError, match="with teacher_percent=1: 1 episode is left to train on; expected"
    ):
        distil(method, vectors(continuous=True))


def test_interrupted_while_students_train_or_samples_move_it_resumes(tmp_path: Path) -> None:
    buffer = vectors(continuous=True)
    method = ActionKernelConfig(
        learner=LEARNER, n_samples=6, steps=7, output_dtype="float32", imitate="students", n_teachers=2,
        teacher_steps=4, networks=2, learn_actions=True,
    )  # fmt: skip
    assert [(phase.after, phase.steps) for phase in method.phases()] == [(0, 8), (1, 7)]
    assert [phase.method.total_steps for phase in method.phases()] == [15, 8]
    whole = distil(method, buffer, seed=3)

    class Stop(Exception):
        pass

    def stop(step: int, total: int, loss: float) -> None:
        if step in stops:
            stops.remove(step)
            raise Stop

    stops = [3, 6, 9, 13]  # in the first student, in the second, and twice among the moves
    run = Run(checkpoint=tmp_path / "checkpoint", checkpoint_interval=1, on_step=stop)
    for _ in range(4):
        with pytest.raises(Stop):
            distil(method, buffer, seed=3, run=run)
    again = distil(method, buffer, seed=3, run=run)
    assert not stops
    for one, other in ((again.samples, whole.samples), (again.initial, whole.initial)):
        assert one is not None and other is not None
        np.testing.assert_array_equal(one.observations, other.observations)
        np.testing.assert_array_equal(one.actions, other.actions)


def test_states_are_drawn_in_proportion_to_their_weights() -> None:
    """The mean loss of a batch is the weighted mean over all states."""
    weights = np.array([0.0, 1.0, 3.0, 0.0, 6.0])
    rows = RealRows(5, 200_000, weights).draw(np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(rows, minlength=5) / len(rows), weights / 10, atol=0.005)
    assert set(rows) == {1, 2, 4}
    even = RealRows(5, 8).draw(np.random.default_rng(1))
    np.testing.assert_array_equal(even, np.random.default_rng(1).integers(5, size=8))
    np.testing.assert_array_equal(RealRows(5, None).draw(np.random.default_rng(1)), np.arange(5))


def test_weights_by_value() -> None:
    data = TransitionArrays.from_buffer(vectors(continuous=True))
    seen = data.observations
    expected = seen.sum(1) + np.tanh(seen[:, 1:]).sum(1)
    assert (expected < 0).any() and (expected > 0).any()
    np.testing.assert_allclose(value_weights(Valued(), seen), np.maximum(expected, 0), rtol=1e-5)
    np.testing.assert_allclose(policy_actions(Plain(), seen), np.tanh(seen[:, 1:]), rtol=1e-6)
    with pytest.raises(SettingsError, match="values none of its decisions above 0"):
        value_weights(Valued(), -100 - np.abs(seen))


def test_weights_by_density() -> None:
    """Against brute force, and by proportion: a state twice as far from others has 2**(D tau) times the weight."""
    rng = np.random.default_rng(0)
    observations = (rng.normal(size=(300, 2)) * [1, 100]).astype(np.float32)
    weights = density_weights(observations, 0.5)
    scaled = (observations - observations.mean(0)) / observations.std(0)
    distances = np.sort(np.linalg.norm(scaled[:, None] - scaled[None], axis=2), axis=1)
    expected = distances[:, 10] ** (2 * 0.5)  # column 0 is the state itself
    np.testing.assert_allclose(weights / weights.max(), expected / expected.max(), rtol=1e-3)
    np.testing.assert_array_equal(density_weights(observations, 0.0), 1.0)
    assert weights[np.abs(scaled).max(1).argmax()] > 3 * np.median(weights)


def test_presets_name_the_objectives_of_the_papers() -> None:
    dataset, student = OfflineDataset(vectors(continuous=True)), STUDENTS.get("mlp")()
    expert = LoadedPolicy("given", Valued(), "ab" * 32)

    def preset(name: str, **settings: Any) -> UnrolledMatchingConfig:
        return UnrolledMatchingConfig.preset(
            dataset, student, name=name, settings={"n_samples": 5, **settings}, expert=lambda: expert
        )

    said = {name: (preset(name).imitate, preset(name).weighting) for name in UnrolledMatchingConfig.PRESETS}
    assert said == {
        "default": ("recorded", "even"),
        "pbc": ("policy", "even"),
        "av-pbc": ("policy", "value"),
        "sdw": ("policy", "density"),
        "percentile": ("students", "even"),
    }
    assert preset("percentile").teacher_percent == 10 and preset("percentile").percent is None
    config = preset("av-pbc", real_batch_size=16)
    assert config.policy is expert.policy and config.to_json()["policy_sha256"] == expert.sha256
    assert preset("default").policy is None and "policy" not in config.to_json()
    assert preset("av-pbc", weighting="even").weighting == "even"


def test_all_data_with_an_experts_actions_is_an_arm_for_who_asks() -> None:
    dataset, student = OfflineDataset(vectors(continuous=True)), STUDENTS.get("mlp")()
    small = distil(
        ActionKernelConfig(learner=LEARNER, n_samples=6, steps=1, output_dtype="float32"), dataset.buffer
    )
    sets = {"distilled-6": small}
    assert "bc-100-of-expert" not in [arm.name for arm in standard_arms("mlp", student, dataset, sets, Protocol())]
    arms = {arm.name: arm for arm in standard_arms("mlp", student, dataset, sets, Protocol(), expert=Plain())}
    arm = arms["bc-100-of-expert"]
    assert arm.optional and arm.about == ArmKind("full", labels="expert", student="mlp")
    data = arm.draw(dataset, np.random.default_rng(0)).transitions
    np.testing.assert_allclose(data.actions, np.tanh(dataset.transitions.observations[:, 1:]), rtol=1e-6)
    np.testing.assert_array_equal(data.observations, dataset.transitions.observations)


def test_what_does_not_go_together_is_refused() -> None:
    given: dict[str, Any] = {"learner": LEARNER, "n_samples": 5, "output_dtype": "float32"}
    for wrong, message in (
        ({"imitate": "policy"}, "imitate='policy' without a policy: name one with --expert"),
        ({"weighting": "value"}, "weighting='value' without a policy"),
        ({"weighting": "value", "policy": Plain()}, "knows no values"),
        ({"weighting": "density", "real_batch_size": None}, "weighting='density' with all data in each batch"),
        (
            {"imitate": "policy", "policy": Plain(), "learner": DiscreteBCConfig()},
            "imitate='policy' with discrete",
        ),
        ({"teacher_percent": 10.0}, "teacher_percent=10 with imitate='recorded': it is for imitate='students'"),
        ({"imitate": "students", "learner": DiscreteBCConfig()}, "imitate='students' with discrete"),
    ):
        with pytest.raises(SettingsError, match=message):
            UnrolledMatchingConfig(**{**given, **wrong})


@pytest.mark.parametrize(("name", "kind"), [("iql", IQLConfig), ("td3-bc", TD3PlusBCConfig)])
def test_offline_learners_decide_and_know_values(name: str, kind: type[Any]) -> None:
    dataset, student = OfflineDataset(vectors(continuous=True)), STUDENTS.get(name)()
    config = student.learner(dataset, Budget(3, 8))
    assert isinstance(config, kind) and config.batch_size == 8
    learner = student.fit(config, TrainingSet(dataset.transitions, dataset.buffer), 3, seed=0)
    policy = student.policy(learner, 0.0)
    assert isinstance(policy, ValuedPolicy)
    seen = dataset.transitions.observations
    actions = policy_actions(policy, seen)
    np.testing.assert_allclose(actions, learner.predict(seen), rtol=1e-4, atol=1e-5)
    values = policy.values(torch.from_numpy(seen), torch.from_numpy(actions))
    np.testing.assert_allclose(values, learner.predict_value(seen, actions).reshape(-1), rtol=1e-5)
