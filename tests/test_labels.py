"""Soft labels: their loss, the teachers that give them, and the arms that learn from them."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from d3rlpy.algos import BCConfig, DiscreteBCConfig, DQNConfig
from d3rlpy.dataset import InfiniteBuffer, ReplayBuffer
from d3rlpy.models.encoders import VectorEncoderFactory
from d3rlpy.models.torch.imitators import compute_discrete_imitation_loss
from d3rlpy.preprocessing import PixelObservationScaler

from buffers import distil, make_buffer, paper_learner
from commands import run
from d3rlpy_distill import (
    Budget,
    Distilled,
    GradientMatchingConfig,
    LabelDistillationConfig,
    OfflineDataset,
    Protocol,
    Run,
    Teachers,
    TransitionArrays,
    evaluate,
)
from d3rlpy_distill.data import load_dataset, read_extras
from d3rlpy_distill.errors import (
    DatasetFormatError,
    DistillError,
    OutputExistsError,
    SettingsError,
    UnsuitableDatasetError,
)
from d3rlpy_distill.evaluation import standard_arms
from d3rlpy_distill.files import write_seal
from d3rlpy_distill.learners.convergence import ConvergenceConfig
from d3rlpy_distill.learners.learner import build_learner, learner_network
from d3rlpy_distill.learners.soft_cloning import soft_cloning_loss
from d3rlpy_distill.learners.training import train_learner
from d3rlpy_distill.methods.k_center import k_center
from d3rlpy_distill.pipeline import configure, distill, distill_to_file, load
from d3rlpy_distill.students.cloning import ImitatorPolicy
from d3rlpy_distill.students.paper import PaperStudent
from procgen_datasets import CollectConfig, collect

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
    student = ImitatorPolicy(train_learner(LEARNER, soft, 300, seed=0))
    learned = torch.softmax(student.logits(torch.zeros(1, 4)), 1).numpy()
    np.testing.assert_allclose(learned, labels[:1], atol=0.02)


def test_teachers_labels_are_nearer_to_the_policy_than_the_actions_it_took() -> None:
    buffer, _ = buffer_of_policy()
    distilled = distil(
        LabelDistillationConfig(learner=LEARNER, n_samples=40, teacher_steps=150, steps=300), buffer
    )
    samples, data = distilled.samples, TransitionArrays.from_buffer(buffer)
    np.testing.assert_array_equal(samples.observations, data.observations[distilled.sources])
    np.testing.assert_array_equal(samples.actions, data.actions[distilled.sources])
    assert distilled.soft and distilled.teachers is not None and len(distilled.teachers) == 2
    labels, truth = distilled.teachers.label(data.observations), policy_of(data.observations)
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-5)
    assert np.abs(labels - truth).mean() < 0.4 * np.abs(np.eye(3)[data.actions] - truth).mean()
    chosen = k_center(np.log(np.maximum(labels, 1e-6)), 40)
    np.testing.assert_array_equal(distilled.sources, chosen)
    np.testing.assert_array_equal(samples.probabilities, distilled.teachers.label(samples.observations))
    # as a policy they give the logarithms of their labels
    logits = distilled.teachers.logits(torch.from_numpy(data.observations[:5]))
    np.testing.assert_allclose(logits.exp().numpy(), labels[:5], atol=1e-6)


def test_a_sharpness_sharpens_the_labels() -> None:
    buffer, probabilities = buffer_of_policy()
    entropy = []
    for sharpness in (1.0, 4.0):
        config = LabelDistillationConfig(
            learner=LEARNER, n_samples=40, teacher_steps=150, steps=150, sharpness=sharpness
        )
        teachers = distil(config, buffer, behaviour=probabilities).teachers
        assert teachers is not None
        labels = teachers.label(TransitionArrays.from_buffer(buffer).observations)
        entropy.append(-(labels * np.log(labels)).sum(1).mean())
    assert entropy[1] < 0.6 * entropy[0]
    with pytest.raises(SettingsError, match=r"sharpness=4\.0: the dataset records no action probabilities"):
        distil(config, buffer)


@pytest.mark.parametrize("stop_at", [5, 7])  # the checkpoint lies between two teachers, and within one
def test_interrupted_it_resumes_to_the_same_labels(tmp_path: Path, stop_at: int) -> None:
    buffer = make_buffer([9, 9, 9])
    config = LabelDistillationConfig(learner=paper_learner(Budget(1, 8)), n_samples=6, teacher_steps=4, steps=10)
    checkpoint = tmp_path / "checkpoint"

    def stop(step: int, total: int, loss: float) -> None:
        if step == stop_at:
            raise KeyboardInterrupt

    whole = distil(config, buffer, seed=3)
    assert whole.teachers is not None and len(whole.teachers) == 3  # the last of two steps only
    with pytest.raises(KeyboardInterrupt):
        distil(config, buffer, seed=3, run=Run(checkpoint=checkpoint, checkpoint_interval=2, on_step=stop))
    steps: list[int] = []
    resumed = distil(
        config,
        buffer,
        seed=3,
        run=Run(checkpoint=checkpoint, on_step=lambda step, total, loss: steps.append(step)),
    )
    assert steps == list(range(stop_at, 11)) and not checkpoint.exists()
    assert resumed.teachers is not None
    everything = TransitionArrays.from_buffer(buffer).observations
    np.testing.assert_array_equal(resumed.teachers.label(everything), whole.teachers.label(everything))
    np.testing.assert_array_equal(resumed.sources, whole.sources)
    np.testing.assert_array_equal(resumed.samples.probabilities, whole.samples.probabilities)


def test_without_a_step_there_are_no_labels() -> None:
    config = LabelDistillationConfig(learner=LEARNER, n_samples=5, steps=0)
    distilled = distil(config, make_buffer([9, 9], shape=(4,)))
    assert distilled.teachers is None and not distilled.soft and len(distilled) == 5


def test_steps_count_all_teachers() -> None:
    assert LabelDistillationConfig(learner=LEARNER).total_steps == 3000
    assert LabelDistillationConfig(learner=LEARNER, n_teachers=2, teacher_steps=7).total_steps == 14
    assert LabelDistillationConfig(learner=LEARNER, n_teachers=2, teacher_steps=7, steps=5).total_steps == 5
    config = LabelDistillationConfig(learner=LEARNER, n_samples=4, n_teachers=2, teacher_steps=3)
    steps: list[tuple[int, int]] = []
    distilled = distil(
        config,
        make_buffer([9, 9], shape=(4,)),
        run=Run(on_step=lambda step, total, loss: steps.append((step, total))),
    )
    assert steps == [(step, 6) for step in range(1, 7)]
    assert distilled.teachers is not None and len(distilled.teachers) == 2
    assert config.convergence == ConvergenceConfig(3, 0.1, check_every=3)


def test_random_observations_beside_soft_labels_carry_the_same_teachers_labels() -> None:
    real = OfflineDataset(make_buffer([30, 30], shape=(3, 16, 16)))
    learner = paper_learner(Budget(1, 8))
    weights = [learner_network(build_learner(learner, (3, 16, 16), 4, seed=s)).state_dict() for s in (1, 2)]
    teachers = Teachers(learner, weights, (3, 16, 16), 4)
    samples = TransitionArrays.from_buffer(make_buffer([10]))
    soft = dataclasses.replace(samples, probabilities=teachers.label(samples.observations))
    arms = standard_arms(
        "paper", PaperStudent(), real, {"soft-10": Distilled(soft, teachers=teachers)}, Protocol()
    )
    beside, own, actions = arms[-3:]
    assert [arm.name for arm in (beside, own, actions)] == ["random-soft-10", "soft-10", "actions-of-soft-10"]
    assert [arm.about.labels for arm in (beside, own, actions)] == ["soft", "soft", "actions"]
    assert beside.about.of == actions.about.of == "soft-10" and actions.optional
    first, second = (beside.draw(real, np.random.default_rng(seed)).transitions for seed in (0, 1))
    assert len(first) == 10 and not np.array_equal(first.observations, second.observations)
    assert first.probabilities is not None
    np.testing.assert_array_equal(first.probabilities, teachers.label(first.observations))
    policies = []
    for state in weights:
        built = build_learner(learner, (3, 16, 16), 4, seed=0)
        learner_network(built).load_state_dict(state)
        policies.append(torch.softmax(ImitatorPolicy(built).logits(torch.from_numpy(first.observations)), 1))
    np.testing.assert_allclose(first.probabilities, torch.stack(policies).mean(0).numpy(), atol=2e-3)


def test_settings_that_do_not_fit_are_named() -> None:
    for settings, message in (
        ({"learner": DQNConfig()}, "label distillation with DQNConfig: for DiscreteBCConfig only"),
        ({"learner": BCConfig()}, r"with BCConfig: for DiscreteBCConfig only\..* 'kernel-actions' and 'unrolled'"),
        ({"teacher_steps": 0}, "teacher_steps=0: expected 1 or more"),
        ({"n_teachers": 0}, "n_teachers=0: expected 1 or more"),
        ({"held_out": 1.0}, r"held_out=1\.0: expected above 0 and below 1"),
        ({"held_out": 0.0}, r"held_out=0\.0: expected above 0 and below 1"),
    ):
        with pytest.raises(SettingsError, match=message):
            LabelDistillationConfig(**{"learner": LEARNER, **settings})  # type: ignore[arg-type]


FEW = {"n_samples": 20, "teacher_steps": 2, "steps": 4}


@pytest.fixture(scope="module")
def soft_file(starpilot_dataset: OfflineDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("soft") / "starpilot-soft.h5"
    distill_to_file(starpilot_dataset, out, "labels", **FEW)
    return out


def test_the_file_holds_labels_and_teachers_and_stock_d3rlpy_loads_it(
    soft_file: Path, starpilot_dataset: OfflineDataset
) -> None:
    stock = ReplayBuffer.load(str(soft_file), InfiniteBuffer())
    assert stock.transition_count == 20
    data = TransitionArrays.from_buffer(load_dataset(soft_file)[0])
    index = read_extras(soft_file, "initial")["transition"]
    real = starpilot_dataset.transitions
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
    dataset = load(renamed)
    few = {"n_samples": 5, "teacher_steps": 2, "teachers": soft_file}
    assert configure(dataset, "labels", **few)[0].total_steps == 0  # type: ignore[arg-type]
    steps: list[int] = []
    distill_to_file(dataset, out, "labels", on_step=lambda step, total, loss: steps.append(step), **few)  # type: ignore[arg-type]
    mine, theirs = Distilled.load(out), Distilled.load(soft_file)
    assert steps == [] and mine.provenance is not None and mine.provenance.settings["steps"] == 0
    assert mine.teachers is not None and theirs.teachers is not None
    for ours, given in zip(mine.teachers.weights, theirs.teachers.weights, strict=True):
        assert ours.keys() == given.keys() and all(torch.equal(ours[key], given[key]) for key in ours)
    index, many = mine.sources, theirs.sources
    assert index is not None and many is not None and len(index) == 5
    # k-center chooses in an order: fewer samples are the first of more
    np.testing.assert_array_equal(index, many[:5])
    assert mine.samples.probabilities is not None and theirs.samples.probabilities is not None
    np.testing.assert_allclose(mine.samples.probabilities, theirs.samples.probabilities[:5], atol=1e-6)
    written = out.stat().st_mtime_ns
    distill_to_file(dataset, out, "labels", **few)  # type: ignore[arg-type]
    assert out.stat().st_mtime_ns == written  # made by the same settings: left as it is
    with pytest.raises(OutputExistsError, match="holds something else"):
        distill_to_file(dataset, out, "labels", **{**few, "n_samples": 6})  # type: ignore[arg-type]


def test_teachers_that_do_not_fit_are_refused(
    soft_file: Path, starpilot_dataset: OfflineDataset, distilled_file: Path, tmp_path: Path
) -> None:
    def refused(error: type[Exception], message: str, method: str = "labels", **settings: object) -> None:
        dataset = settings.pop("dataset", starpilot_dataset)
        with pytest.raises(error, match=message):
            distill(dataset, method, **{"teacher_steps": 2, "teachers": soft_file, **settings})  # type: ignore[arg-type]

    with pytest.raises(SettingsError, match=r"the method 'gradient' takes no teachers: .*labels"):
        distill(starpilot_dataset, "gradient", teachers=soft_file)
    refused(SettingsError, "steps train teachers, and teachers are given", steps=4)
    moving = "steps train teachers, and teachers are given: leave one out. How long samples move is 'moves'"
    refused(SettingsError, re.escape(moving), method="unrolled-labels", steps=4)
    refused(DistillError, "has no teachers", teachers=distilled_file)
    absent = r"missing\.h5 does not exist: expected a file of 'rld-distill distill DATASET --method labels'"
    refused(DatasetFormatError, absent, teachers=tmp_path / "missing.h5")
    refused(SettingsError, "have teacher_steps=2, asked for was 3", teacher_steps=3)
    refused(DistillError, "have seed=0, asked for was 1", seed=1)
    refused(DistillError, r"have sharpness=4\.0, asked for was 2", sharpness=2.0)
    refused(DistillError, "teachers are another student's: give the one", student="impala-s2d")
    other = tmp_path / "other.h5"
    collect(CollectConfig("starpilot", episodes=2, seed=9), other)
    refused(DistillError, r"was not distilled from other\.h5 .* but from 'starpilot\.h5'", dataset=load(other))
    teachers = Teachers(LEARNER, [learner_network(build_learner(LEARNER, (4,), 3, seed=0)).state_dict()], (4,), 3)
    with pytest.raises(SettingsError, match="steps=1 with given teachers: expected 0"):
        LabelDistillationConfig(learner=LEARNER, n_samples=5, steps=1, given=teachers)
    with pytest.raises(TypeError, match="given"):
        GradientMatchingConfig(learner=LEARNER, n_samples=5, given=teachers)  # type: ignore[call-arg]
    labelled = distil(
        LabelDistillationConfig(learner=LEARNER, n_samples=5, given=teachers),
        make_buffer([9, 9], shape=(4,), action_size=3),
    )
    assert labelled.teachers is teachers and labelled.soft


def test_teachers_without_labels_are_refused(soft_file: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.h5"
    shutil.copy(soft_file, broken)
    with h5py.File(broken, "a") as file:
        del file["steps"]
    write_seal(broken)
    with pytest.raises(DatasetFormatError, match=r"broken\.h5 has teachers but no steps/action_probabilities"):
        Distilled.load(broken)
    with h5py.File(broken, "a") as file:
        file["steps/action_probabilities"] = np.full((19, 15), 1 / 15)
    write_seal(broken)
    with pytest.raises(DatasetFormatError, match=r"soft labels of shape \(19, 15\): expected \(20, 15\)"):
        Distilled.load(broken)


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "not finite"), (-0.5, "below 0"), (0.9, r"of row 3 sum to 1\.833: expected 1")],
)
def test_soft_labels_that_are_no_probabilities_are_refused(
    soft_file: Path, tmp_path: Path, value: float, message: str
) -> None:
    labels = np.full((20, 15), 1 / 15)
    labels[3, 0] = value
    broken = Path(shutil.copy(soft_file, tmp_path / "broken.h5"))
    with h5py.File(broken, "a") as file:
        del file["steps/action_probabilities"]
        file["steps/action_probabilities"] = labels
    write_seal(broken)
    with pytest.raises(DatasetFormatError, match=rf"broken\.h5: soft labels .*{message}"):
        Distilled.load(broken)


def test_frames_that_no_step_moved_are_drawn(soft_file: Path, tmp_path: Path) -> None:
    drawn = run("gallery", soft_file, "--out", tmp_path / "g.png", "--frames", 4)
    assert drawn.exit_code == 0 and (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")


def test_evaluate_gives_soft_labels_arms_of_their_own(
    starpilot_dataset: OfflineDataset, distilled_file: Path, soft_file: Path
) -> None:
    hard, soft = Distilled.load(distilled_file), Distilled.load(soft_file)
    quick = Protocol(
        students=2, episodes=1, small=Budget(1, 15), full=Budget(1, 15), convergence=ConvergenceConfig(1)
    )
    arms = ["teachers-of-soft-20", "random-20", "random-soft-20", "soft-20"]
    alone = evaluate(starpilot_dataset, soft, protocol=quick, arms=arms, splits=["id"])
    assert list(dict.fromkeys(arm.name for arm in alone.arms)) == arms
    with pytest.raises(SettingsError, match="arm 'distilled-20': expected some of"):
        evaluate(starpilot_dataset, soft, arms=["distilled-20"])
    with pytest.raises(SettingsError, match="the table has an arm of that name"):
        evaluate(starpilot_dataset, soft, also={"soft-20": soft})
    beside = evaluate(starpilot_dataset, hard, also={"soft-20": soft}, protocol=quick, arms=arms, splits=["id"])
    for name in ("random-soft-20", "soft-20"):  # an arm's students do not depend on the other arms
        one, two = (
            [arm.returns.tolist() for arm in results.arms if arm.name == name] for results in (alone, beside)
        )
        assert one == two and len(one) == 2


def test_one_episode_leaves_none_to_hold_out() -> None:
    with pytest.raises(UnsuitableDatasetError, match="the dataset has 1 episode: expected at least 2"):
        distil(LabelDistillationConfig(learner=LEARNER, n_samples=5, steps=1), make_buffer([9], shape=(4,)))


def test_options_that_do_not_fit_are_refused(starpilot_dataset: OfflineDataset) -> None:
    for method, settings, message in (
        ("labels", {"window": 3}, "window: LabelDistillationConfig has no such setting"),
        ("labels", {"distance": "l2"}, "distance: LabelDistillationConfig has no such setting"),
        ("labels", {"shared_observations": 3}, "shared_observations: LabelDistillationConfig has no such setting"),
        ("gradient", {"teacher_steps": 3}, "teacher_steps: GradientMatchingConfig has no such setting"),
        ("labels", {"student": "dqn"}, "label distillation with DQNConfig"),
        ("labels", {"preset": "paper"}, "preset='paper' with LabelDistillationConfig: expected one of default"),
    ):
        with pytest.raises(SettingsError, match=message):
            distill(starpilot_dataset, method, **settings)  # type: ignore[arg-type]
