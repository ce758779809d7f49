"""Soft labels: their loss, the teachers that give them, and the arms that learn from them."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from d3rlpy.algos import DiscreteBCConfig, DQNConfig
from d3rlpy.dataset import InfiniteBuffer, ReplayBuffer
from d3rlpy.models.encoders import VectorEncoderFactory
from d3rlpy.models.torch.imitators import compute_discrete_imitation_loss
from d3rlpy.preprocessing import PixelObservationScaler

from buffers import make_buffer
from commands import fails, run
from d3rlpy_distill import (
    Budget,
    GradientMatchingConfig,
    LabelDistillationConfig,
    Teachers,
    TransitionArrays,
    UnsuitableDatasetError,
    paper_student,
    train_student,
)
from d3rlpy_distill.evaluation import BenchmarkConfig, SmallSet, StudentPolicy, standard_arms
from d3rlpy_distill.learner import build_learner, learner_network
from d3rlpy_distill.selection.geometric import k_center
from d3rlpy_distill.soft_cloning import soft_cloning_loss
from procgen_datasets import CollectConfig, collect, load_dataset
from procgen_datasets.hdf5 import read_extras

LEARNER = DiscreteBCConfig(
    batch_size=32,
    learning_rate=1e-2,
    beta=0.0,
    encoder_factory=VectorEncoderFactory([16, 16]),
    observation_scaler=PixelObservationScaler(),
)


def policy_of(observations: np.ndarray) -> np.ndarray:
    """A policy of three actions that the first feature decides."""
    logits = (observations[:, :1] / 255 - 0.5) * np.array([[8.0, 0.0, -8.0]])
    p = np.exp(logits)
    return p / p.sum(1, keepdims=True)


def buffer_of_policy(n: int = 30, length: int = 20) -> tuple[ReplayBuffer, np.ndarray]:
    """Episodes of that policy, and its probabilities."""
    buffer = make_buffer([length] * n, shape=(4,), action_size=3)
    rng = np.random.default_rng(1)
    probabilities = []
    for episode in buffer.episodes:
        p = policy_of(np.asarray(episode.observations))
        episode.actions[:, 0] = [rng.choice(3, p=row) for row in p]
        probabilities.append(p)
    return buffer, np.concatenate(probabilities)


@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_labels_on_one_action_give_d3rlpys_own_loss_and_others_the_sum_over_actions(beta: float) -> None:
    learner = build_learner(LEARNER, (4,), 3, seed=0)
    network = learner_network(learner)
    x, actions = torch.randn(7, 4), torch.arange(7) % 3
    theirs = compute_discrete_imitation_loss(network, x, actions, beta).loss  # type: ignore[arg-type]
    hard = torch.eye(3)[actions]
    torch.testing.assert_close(soft_cloning_loss(network, x, hard, beta), theirs)
    q = torch.softmax(torch.randn(7, 3), 1)
    log_pi = network(x).logits
    by_hand = -sum(q[i, a] * log_pi[i, a] for i in range(7) for a in range(3)) / 7 + beta * (log_pi**2).mean()
    torch.testing.assert_close(soft_cloning_loss(network, x, q, beta), by_hand)


def test_a_student_of_soft_labels_takes_on_their_probabilities() -> None:
    data = TransitionArrays.from_buffer(make_buffer([8], shape=(4,), action_size=3))
    labels = np.tile(np.float32([[0.7, 0.2, 0.1]]), (8, 1))
    soft = dataclasses.replace(data, observations=np.zeros((8, 4), np.float32), probabilities=labels)
    student = StudentPolicy(train_student(LEARNER, soft, 300, seed=0))
    learned = torch.softmax(student.logits(torch.zeros(1, 4)), 1).numpy()
    np.testing.assert_allclose(learned, labels[:1], atol=0.02)


def test_teachers_labels_are_nearer_to_the_policy_than_the_actions_it_took() -> None:
    buffer, _ = buffer_of_policy()
    config = LabelDistillationConfig(LEARNER, 40, teacher_steps=150, output_dtype="float32")
    distiller = config.create()
    samples = TransitionArrays.from_buffer(distiller.fit(buffer, 300))
    data = TransitionArrays.from_buffer(buffer)
    np.testing.assert_array_equal(samples.observations, data.observations[distiller.source_index])
    np.testing.assert_array_equal(samples.actions, data.actions[distiller.source_index])
    assert distiller.teachers is not None and len(distiller.teachers) == 2
    labels, truth = distiller.teachers.label(data.observations), policy_of(data.observations)
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-5)
    assert np.abs(labels - truth).mean() < 0.4 * np.abs(np.eye(3)[data.actions] - truth).mean()
    chosen = k_center(np.log(np.maximum(labels, 1e-6)), 40)
    np.testing.assert_array_equal(distiller.source_index, chosen)


def test_a_sharpness_sharpens_the_labels() -> None:
    buffer, probabilities = buffer_of_policy()
    entropy = []
    for sharpness in (1.0, 4.0):
        config = LabelDistillationConfig(
            LEARNER, 40, teacher_steps=150, sharpness=sharpness, output_dtype="float32"
        )
        distiller = config.create()
        distiller.fit(buffer, 150, probabilities=probabilities)
        assert distiller.teachers is not None
        labels = distiller.teachers.label(TransitionArrays.from_buffer(buffer).observations)
        entropy.append(-(labels * np.log(labels)).sum(1).mean())
    assert entropy[1] < 0.6 * entropy[0]


@pytest.mark.parametrize("stop_at", [5, 7])  # the checkpoint lies between two teachers, and within one
def test_interrupted_it_resumes_to_the_same_labels(tmp_path: Path, stop_at: int) -> None:
    buffer = make_buffer([9, 9, 9])
    config = LabelDistillationConfig(paper_student(Budget(1, 8)), 6, teacher_steps=4, seed=3)
    observations = TransitionArrays.from_buffer(buffer).observations

    def labels(checkpoint: Path | None, stop_at: int | None = None) -> np.ndarray:
        def stop(step: int, loss: float) -> None:
            if step == stop_at:
                raise KeyboardInterrupt

        distiller = config.create()
        distiller.fit(buffer, 10, checkpoint=checkpoint, checkpoint_interval=2, on_step=stop)
        assert distiller.teachers is not None and len(distiller.teachers) == 3  # the last of two steps only
        return distiller.teachers.label(observations)

    whole = labels(None)
    with pytest.raises(KeyboardInterrupt):
        labels(tmp_path / "checkpoint", stop_at=stop_at)
    np.testing.assert_array_equal(labels(tmp_path / "checkpoint"), whole)


def test_without_a_step_there_are_no_labels() -> None:
    distiller = LabelDistillationConfig(LEARNER, 5, output_dtype="float32").create()
    distiller.fit(make_buffer([9, 9], shape=(4,)), 0)
    assert distiller.teachers is None


def test_random_observations_beside_soft_labels_carry_the_same_teachers_labels() -> None:
    real = make_buffer([30, 30], shape=(3, 16, 16))
    learner = paper_student(Budget(1, 8))
    weights = [learner_network(build_learner(learner, (3, 16, 16), 4, seed=s)).state_dict() for s in (1, 2)]
    teachers = Teachers(learner, weights, (3, 16, 16), 4)
    samples = TransitionArrays.from_buffer(make_buffer([10]))
    small = SmallSet(dataclasses.replace(samples, probabilities=teachers.label(samples.observations)), teachers)
    arms = standard_arms(real, None, make_buffer([10]), BenchmarkConfig(), {"soft-10": small})
    assert [arm.name for arm in arms][-2:] == ["random-soft-10", "soft-10"]
    first, second = (arms[-2].data(np.random.default_rng(seed)) for seed in (0, 1))
    assert len(first) == 10 and not np.array_equal(first.observations, second.observations)
    assert first.probabilities is not None
    np.testing.assert_array_equal(first.probabilities, teachers.label(first.observations))
    policies = [
        torch.softmax(StudentPolicy(_with(learner, state)).logits(torch.from_numpy(first.observations)), 1)
        for state in weights
    ]
    np.testing.assert_allclose(first.probabilities, torch.stack(policies).mean(0).numpy(), atol=2e-3)


def _with(learner: DiscreteBCConfig, state: dict[str, torch.Tensor]) -> object:
    built = build_learner(learner, (3, 16, 16), 4, seed=0)
    learner_network(built).load_state_dict(state)
    return built


def test_settings_that_do_not_fit_are_named() -> None:
    for settings, message in (
        ({"learner": DQNConfig()}, "label distillation with DQNConfig: for DiscreteBCConfig only"),
        ({"shared_observations": 3}, "shared_observations with label distillation"),
        ({"teacher_steps": 0}, "teacher_steps=0: expected 1 or more"),
        ({"held_out": 1.0}, "held_out=1.0: expected a fraction between 0 and 1"),
    ):
        with pytest.raises(ValueError, match=message):
            LabelDistillationConfig(**{"learner": LEARNER, **settings})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def soft_file(starpilot_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("soft") / "starpilot-soft.h5"
    settings = ["--method", "labels", "--samples", 20, "--teacher-steps", 2, "--steps", 4]
    result = run("distill", starpilot_file, *settings, "--out", out)
    assert result.exit_code == 0, result.output
    return out


def test_the_file_holds_labels_and_teachers_and_stock_d3rlpy_loads_it(
    soft_file: Path, starpilot: ReplayBuffer
) -> None:
    stock = ReplayBuffer.load(str(soft_file), InfiniteBuffer())
    assert stock.transition_count == 20
    data = TransitionArrays.from_buffer(load_dataset(soft_file)[0])
    index = read_extras(soft_file, "initial")["transition"]
    real = TransitionArrays.from_buffer(starpilot)
    np.testing.assert_array_equal(data.observations, real.observations[index])
    np.testing.assert_array_equal(data.returns_to_go, real.returns_to_go[index])
    labels = read_extras(soft_file, "steps")["action_probabilities"]
    assert labels.shape == (20, 15)
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-5)
    assert {key.partition(".")[0] for key in read_extras(soft_file, "teachers")} == {"0", "1"}


def test_given_teachers_label_other_samples_without_training(
    soft_file: Path, starpilot_file: Path, tmp_path: Path
) -> None:
    out, renamed = tmp_path / "few.h5", tmp_path / "renamed.h5"
    shutil.copy(starpilot_file, renamed)  # content decides what belongs together, not the name
    few = ["--method", "labels", "--teacher-steps", 2, "--teachers", soft_file, "--samples", 5, "--out", out]
    plan = run("distill", renamed, *few, "--dry-run")
    assert plan.exit_code == 0 and "0 steps, into" in plan.stdout and not out.exists()
    result = run("distill", renamed, *few, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["steps"] == 0
    mine, theirs = read_extras(out, "teachers"), read_extras(soft_file, "teachers")
    assert mine.keys() == theirs.keys() and all((mine[key] == theirs[key]).all() for key in mine)
    index, many = (read_extras(path, "initial")["transition"] for path in (out, soft_file))
    labels, all_labels = (read_extras(path, "steps")["action_probabilities"] for path in (out, soft_file))
    assert len(index) == 5  # k-center chooses in an order: fewer samples are the first of more
    place = [int(np.flatnonzero(many == row)[0]) for row in index]
    np.testing.assert_allclose(labels, all_labels[place], atol=1e-6)
    assert run("distill", renamed, *few).exit_code == 0  # made by the same settings: left as it is


def test_teachers_that_do_not_fit_are_refused(
    soft_file: Path, starpilot_file: Path, distilled_file: Path, tmp_path: Path
) -> None:
    labels = ["--out", tmp_path / "x.h5", "--method", "labels"]
    same = [*labels, "--teacher-steps", 2]
    fails(2, "--teachers is for --method labels", "distill", starpilot_file, *labels[:2], "--teachers", soft_file)
    fails(2, "--steps trains teachers", "distill", starpilot_file, *same, "--teachers", soft_file, "--steps", 4)
    fails(1, "has no teachers", "distill", starpilot_file, *same, "--teachers", distilled_file)
    fails(1, "missing.h5", "distill", starpilot_file, *same, "--teachers", tmp_path / "missing.h5")
    fails(1, "have teacher_steps=2, asked for was 3", "distill", starpilot_file, *labels, "--teacher-steps", 3,
          "--teachers", soft_file)  # fmt: skip
    other = tmp_path / "other.h5"
    collect(CollectConfig("starpilot", episodes=2, seed=9), other)
    fails(1, "was distilled from 'starpilot.h5', not from", "distill", other, *same, "--teachers", soft_file)
    config = LabelDistillationConfig(LEARNER, 5, output_dtype="float32")
    teachers = Teachers(LEARNER, [learner_network(build_learner(LEARNER, (4,), 3, seed=0)).state_dict()], (4,), 3)
    with pytest.raises(ValueError, match="n_steps=1 with given teachers: expected 0"):
        config.create(teachers=teachers).fit(make_buffer([9, 9], shape=(4,)), 1)
    with pytest.raises(ValueError, match="teachers given to GradientMatchingConfig: it has none"):
        GradientMatchingConfig(LEARNER, 5).create(teachers=teachers)


def test_teachers_without_labels_are_refused(soft_file: Path, starpilot_file: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.h5"
    shutil.copy(soft_file, broken)
    with h5py.File(broken, "a") as file:
        del file["steps"]
    fails(1, "broken.h5 has teachers but no steps/action_probabilities", "evaluate", starpilot_file, broken)


def test_evaluate_gives_soft_labels_arms_of_their_own(
    starpilot_file: Path, distilled_file: Path, soft_file: Path, tmp_path: Path
) -> None:
    quick = ["--students", 2, "--episodes", 1, "--synthetic-steps", 1, "--bc-steps", 1, "--converged-steps", 1]
    arms = ["--arms", "random-20,random-soft-20,soft-20,teachers-of-soft-20"]
    alone = run("evaluate", starpilot_file, soft_file, *quick, *arms, "--out", tmp_path / "a", "--json")
    assert alone.exit_code == 0, alone.output
    names = list(dict.fromkeys(arm["name"] for arm in json.loads(alone.stdout)["arms"]))
    assert names == ["teachers-of-soft-20", "random-20", "random-soft-20", "soft-20"]
    fails(
        2,
        "--arms 'distilled-20': expected some of",
        "evaluate",
        starpilot_file,
        soft_file,
        "--arms",
        "distilled-20",
    )
    also = ["--also", f"soft-20={soft_file}"]
    fails(2, "makes an arm of that name", "evaluate", starpilot_file, soft_file, *also)
    fails(2, "--algos trains on actions", "evaluate", starpilot_file, soft_file, "--algos", "bc")
    beside = run(
        "evaluate", starpilot_file, distilled_file, *also, *quick, *arms, "--out", tmp_path / "b", "--json"
    )
    assert beside.exit_code == 0, beside.output
    for name in ("random-soft-20", "soft-20"):  # an arm's students do not depend on the other arms
        one, two = (
            [arm["returns"] for arm in json.loads(result.stdout)["arms"] if arm["name"] == name]
            for result in (alone, beside)
        )
        assert one == two


def test_one_episode_leaves_none_to_hold_out() -> None:
    with pytest.raises(UnsuitableDatasetError, match="the dataset has 1 episode: expected at least 2"):
        LabelDistillationConfig(LEARNER, 5, output_dtype="float32").create().fit(make_buffer([9], shape=(4,)), 1)


def test_options_that_do_not_fit_are_refused(starpilot_file: Path, tmp_path: Path) -> None:
    labels = ["distill", starpilot_file, "--out", tmp_path / "x.h5", "--method", "labels"]
    fails(2, "--window is for --method unrolled", *labels, "--window", 3)
    fails(2, "--distance is for --method gradient", *labels, "--distance", "l2")
    fails(2, "--teacher-steps is for --method labels", *labels[:4], "--teacher-steps", 3)
    fails(2, "label distillation with DQNConfig", *labels, "--learner", "dqn")
    fails(2, "shared_observations with label distillation", *labels, "--shared-observations", 3)
