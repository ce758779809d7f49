"""Every student that is registered: trains, plays, is kept and comes back, and says what it cannot read."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import d3rlpy
import numpy as np
import pytest
import safetensors.torch
import torch
from d3rlpy.algos import DiscreteBC
from d3rlpy.constants import ActionSpace
from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer

from buffers import built_in, make_buffer, paper_learner, vectors
from d3rlpy_distill import OfflineDataset, TransitionArrays
from d3rlpy_distill.catalogue import STUDENTS
from d3rlpy_distill.data.training_set import TrainingSet
from d3rlpy_distill.errors import CheckpointError, UnknownNameError, UnsuitableDatasetError
from d3rlpy_distill.files import save_tensors
from d3rlpy_distill.learners.learner import AnyLearner, build_learner, learner_network
from d3rlpy_distill.policies import ContinuousPolicy, DiscretePolicy, Policy
from d3rlpy_distill.students import Budget, SoftBC, Student
from d3rlpy_distill.students.kept import is_student, load_student, read_weights, save_student

SIDE = 40  # what every network for images reads
TINY = Budget(3, 5)


def images(continuous: bool) -> ReplayBuffer:
    """Two episodes of bytes, the second one cut off."""
    rng = np.random.default_rng(0)
    episodes = []
    for length, terminated in ((9, True), (8, False)):
        actions = (
            rng.uniform(-3, 5, (length, 2)).astype(np.float32) if continuous else rng.integers(0, 3, (length, 1))
        )
        episodes.append(
            Episode(
                rng.integers(0, 256, (length, 3, SIDE, SIDE)).astype(np.uint8),
                actions if continuous else actions.astype(np.int32),
                rng.normal(size=(length, 1)).astype(np.float32),
                terminated,
            )
        )
    space = ActionSpace.CONTINUOUS if continuous else ActionSpace.DISCRETE
    return ReplayBuffer(
        InfiniteBuffer(), episodes=episodes, action_space=space, action_size=2 if continuous else 3
    )


DATASETS: dict[str, Callable[[], ReplayBuffer]] = {
    "images, discrete": lambda: images(False),
    "images, continuous": lambda: images(True),
    "vectors, discrete": lambda: vectors(False, terminated=False),
    "vectors, continuous": lambda: vectors(True, terminated=False),
}
FOR_IMAGES = {"paper", "impala", "impala-s2d", "nature"}
FOR_DISCRETE = {"dqn", "dt"}
FOR_CONTINUOUS = {"iql", "td3-bc"}
STUDENT_NAMES = sorted(built_in(STUDENTS))


def readable(name: str, kind: str) -> bool:
    return not (
        (name in FOR_IMAGES and "vectors" in kind)
        or (name in FOR_DISCRETE and "continuous" in kind)
        or (name in FOR_CONTINUOUS and "discrete" in kind)
    )


PAIRS = [(name, kind) for name in STUDENT_NAMES for kind in DATASETS if readable(name, kind)]
UNREADABLE = [(name, kind) for name in STUDENT_NAMES for kind in DATASETS if not readable(name, kind)]


def outputs(policy: Policy, observations: np.ndarray) -> torch.Tensor:
    given = torch.from_numpy(observations)
    return policy.logits(given) if isinstance(policy, DiscretePolicy) else policy.actions(given)


def trained(name: str, dataset: OfflineDataset, seed: int = 0, **more: Any) -> tuple[Student, AnyLearner]:
    student = STUDENTS.get(name)()
    config = student.learner(dataset, TINY)
    assert config.batch_size == TINY.batch_size
    data = TrainingSet(dataset.transitions, dataset.buffer)
    return student, student.fit(config, data, TINY.n_steps, seed=seed, **more)


def test_these_are_all_students_there_are() -> None:
    assert set(STUDENT_NAMES) == {
        *("paper", "impala", "impala-s2d", "nature", "mlp"),
        *("bc", "cql", "bcq", "dqn", "sac", "dt", "iql", "td3-bc"),
    }
    assert len(PAIRS) == 52 - len(UNREADABLE) == 36


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_a_student_trains_plays_is_kept_and_comes_back(name: str, kind: str, tmp_path: Path) -> None:
    dataset = OfflineDataset(DATASETS[kind]())
    steps: list[int] = []
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    student, learner = trained(name, dataset, on_step=steps.append)
    assert steps == [1, 2, 3]
    policy = student.policy(learner, target_return=1.5)
    # more than one piece, which are evaluated one after the other; BCQ draws 100 actions for each image
    count = 5 if (name, kind) == ("bcq", "images, continuous") else 70
    rng = np.random.default_rng(1)
    shape = dataset.observation_shape
    seen = (
        rng.integers(0, 256, (count, *shape)).astype(np.uint8) if len(shape) == 3 else rng.normal(size=(count, 3))
    )
    seen = seen if len(shape) == 3 else seen.astype(np.float32)
    out = outputs(policy, seen)
    assert out.shape == (count, dataset.action_size) and out.dtype == torch.float32 and out.device.type == "cpu"
    assert torch.isfinite(out).all() and not out.requires_grad
    assert isinstance(policy, DiscretePolicy) == dataset.discrete
    assert isinstance(policy, ContinuousPolicy) == (not dataset.discrete)
    if dataset.discrete:
        probabilities = torch.softmax(out, 1)
        torch.testing.assert_close(probabilities.sum(1), torch.ones(count))
    else:  # in the units of the data, not of the scaler
        actions = dataset.transitions.actions
        assert (out.numpy() >= actions.min(0) - 1e-4).all() and (out.numpy() <= actions.max(0) + 1e-4).all()
    torch.testing.assert_close(outputs(policy, seen), out, rtol=0, atol=0)  # equal calls, equal answers

    path = tmp_path / "student.safetensors"
    save_student(path, name, student, learner, 1.5, {"train_seconds": 2.0, "steps": 4.0})
    assert is_student(path)
    kept = load_student(path)
    torch.testing.assert_close(outputs(kept.policy, seen), out, rtol=0, atol=0)
    assert kept.shape == shape and kept.action_size == dataset.action_size and len(kept.sha256) == 64
    assert type(kept.learner) is type(learner)
    assert read_weights(path)[1]["record"] == {"train_seconds": 2.0, "steps": 4.0}

    # the seed decides all of it, and no global generator is moved
    for seed, equal in ((0, True), (1, False)):
        other = outputs(student.policy(trained(name, dataset, seed)[1], 1.5), seen)
        if equal:
            torch.testing.assert_close(other, out, rtol=0, atol=0)
        elif isinstance(learner, DiscreteBC) or not dataset.discrete:  # a best action may be the same by chance
            assert not torch.equal(other, out)
    assert random.getstate() == states[0] and torch.equal(torch.get_rng_state(), states[2])
    for now, before in zip(np.random.get_state(), states[1], strict=True):  # noqa: NPY002
        np.testing.assert_array_equal(now, before)


@pytest.mark.parametrize(("name", "kind"), UNREADABLE)
def test_a_student_says_what_it_cannot_read(name: str, kind: str) -> None:
    dataset = OfflineDataset(DATASETS[kind]())
    actions = kind.split(", ")[1]
    if name in FOR_IMAGES:
        message = rf"observations of shape \(3,\): the student '{name}' reads images.*; give --student mlp"
    else:
        message = f"the dataset's actions are {actions}: the student '{name}' is not for them; give --student mlp"
    with pytest.raises(UnsuitableDatasetError, match=message):
        STUDENTS.get(name)().learner(dataset)


@pytest.mark.parametrize(
    ("name", "shape", "least"),
    [
        ("paper", (3, 15, 40), "images of at least 16x16"),
        ("nature", (3, 40, 35), "images of at least 36x36"),
        ("mlp", (4, 12, 12), "vectors, and images of at least 36x36"),
        ("impala-s2d", (3, 39, 40), "images of even height and width"),
        *((name, (4, 12, 12), "vectors, and images of at least 16x16") for name in ("bc", "cql", "bcq", "dqn")),
    ],
)
def test_images_that_are_too_small_are_named(name: str, shape: tuple[int, ...], least: str) -> None:
    with pytest.raises(UnsuitableDatasetError, match=f"the student '{name}' reads {least}; give --student"):
        STUDENTS.get(name)().learner(OfflineDataset(make_buffer([3], shape=shape)))


def test_critics_of_continuous_actions_read_larger_images() -> None:
    wide = images(True)
    cropped = [dataclasses.replace(e, observations=np.asarray(e.observations)[:, :, :35]) for e in wide.episodes]  # type: ignore[type-var]
    dataset = OfflineDataset(ReplayBuffer(InfiniteBuffer(), episodes=cropped, action_size=2))  # type: ignore[arg-type]
    with pytest.raises(UnsuitableDatasetError, match="'cql' reads vectors, and images of at least 36x36"):
        STUDENTS.get("cql")().learner(dataset)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("paper", (1, 16, 17)), ("impala", (4, 12, 12)), ("impala", (2, 5, 7)), ("impala-s2d", (3, 6, 4)),
     ("nature", (4, 36, 36)), ("mlp", (4, 36, 50)), ("dqn", (3, 16, 16)), ("paper", (84, 84, 4))],
)  # fmt: skip
def test_the_smallest_images_are_read(name: str, shape: tuple[int, ...]) -> None:
    """Channels first or last; also a single frame at a time."""
    dataset = OfflineDataset(make_buffer([5, 4], shape=shape))
    student, learner = trained(name, dataset)
    seen = dataset.transitions.observations
    assert outputs(student.policy(learner, 0.0), seen[:1]).shape == (1, 4)
    assert learner.predict(seen).shape == (9,)


def test_float_images_are_read_as_they_are() -> None:
    """Bytes are scaled to [0, 1], floats are not: the same picture in either form is the same to a student."""
    buffer = make_buffer([5], shape=(3, 16, 16))
    scaled = np.asarray(buffer.episodes[0].observations).astype(np.float32) / 255
    episode = dataclasses.replace(buffer.episodes[0], observations=scaled)  # type: ignore[type-var]
    floats = OfflineDataset(ReplayBuffer(InfiniteBuffer(), episodes=[episode], action_size=4))  # type: ignore[list-item]
    assert floats.has_images and not floats.has_pixels
    of_floats, of_bytes = (
        outputs(
            STUDENTS.get("paper")().policy(trained("paper", dataset)[1], 0.0), dataset.transitions.observations
        )
        for dataset in (floats, OfflineDataset(buffer))
    )
    torch.testing.assert_close(of_floats, of_bytes)


@pytest.mark.parametrize("name", STUDENT_NAMES)
def test_what_a_student_is_said_to_take_it_takes(name: str) -> None:
    student = STUDENTS.get(name)()
    cloning = name in {*FOR_IMAGES, "mlp"}
    assert student.takes_soft_labels == student.imitates == (cloning or name == "bc")
    assert student.full.n_steps >= student.small.n_steps
    if not student.takes_soft_labels:
        return
    dataset = OfflineDataset(images(False))
    data = dataset.transitions
    labels = np.random.default_rng(0).dirichlet(np.ones(3), len(data)).astype(np.float32)
    config = student.learner(dataset, TINY)
    flipped = np.ascontiguousarray(labels[:, ::-1])
    policies = [
        outputs(student.policy(student.fit(config, TrainingSet(each), 3, seed=0), 0.0), data.observations)
        for each in (
            data,
            dataclasses.replace(data, probabilities=np.eye(3, dtype=np.float32)[data.actions]),
            dataclasses.replace(data, probabilities=labels),
            dataclasses.replace(data, probabilities=flipped),
        )
    ]
    torch.testing.assert_close(policies[1], policies[0], rtol=0.05, atol=0.05)  # bfloat16: all on the action taken
    assert not torch.equal(policies[2], policies[0]) and not torch.equal(policies[2], policies[3])


def test_d3rlpys_cloning_takes_soft_labels_by_the_algorithm_for_them(tmp_path: Path) -> None:
    """It is SoftBC then, learns the labels' probabilities, and is kept and restored as any other."""
    dataset = OfflineDataset(vectors(False))
    student, data = STUDENTS.get("bc")(), dataset.transitions
    labels = np.tile(np.float32([[0.7, 0.2, 0.1]]), (len(data), 1))
    soft = TrainingSet(dataclasses.replace(data, probabilities=labels), dataset.buffer)
    config = student.learner(dataset, Budget(300, 33))
    learner = student.fit(config, soft, 300, seed=0)
    assert isinstance(learner, SoftBC)
    policy = torch.softmax(outputs(student.policy(learner, 0.0), data.observations), 1).numpy()
    np.testing.assert_allclose(policy, labels, atol=0.05)
    path = tmp_path / "student.safetensors"
    save_student(path, "bc", student, learner, 0.0, {"train_seconds": 1.0})
    shape, size = dataset.observation_shape, dataset.action_size
    restored = student.restore(config, read_weights(path)[0], shape, size)  # as an evaluation goes on
    for other in (load_student(path).policy, student.policy(restored, 0.0)):
        again = torch.softmax(outputs(other, data.observations), 1).numpy()
        np.testing.assert_array_equal(again, policy)


def test_students_of_few_samples_see_the_scale_of_the_real_data() -> None:
    """A scaler is fitted to the dataset, and kept with the student."""
    dataset = OfflineDataset(vectors(True))
    student = STUDENTS.get("mlp")()
    config: Any = student.learner(dataset, TINY)
    data = dataset.transitions
    np.testing.assert_allclose(config.observation_scaler.mean, data.observations.mean(0), rtol=1e-4)
    np.testing.assert_allclose(config.action_scaler.minimum, data.actions.min(0))
    few = data.take(np.arange(4))
    learner = student.fit(config, TrainingSet(few), 2, seed=0)
    np.testing.assert_allclose(learner.config.observation_scaler.mean, data.observations.mean(0), rtol=1e-4)


def test_q_learners_train_on_episodes_where_there_are_some_and_else_on_single_steps() -> None:
    dataset = OfflineDataset(vectors(False))
    student, data = STUDENTS.get("dqn")(), dataset.transitions
    config = student.learner(dataset, TINY)
    whole, single, again = (
        outputs(student.policy(student.fit(config, each, 60, seed=0), 0.0), data.observations)
        for each in (
            TrainingSet(data, dataset.buffer),
            TrainingSet(data),
            TrainingSet(data.take(np.arange(len(data)))),
        )
    )
    assert not torch.equal(whole, single)
    torch.testing.assert_close(single, again, rtol=0, atol=0)
    transformer = STUDENTS.get("dt")()
    config = transformer.learner(dataset, TINY)
    one, two = (
        outputs(transformer.policy(transformer.fit(config, each, 3, seed=0), 0.0), data.observations)
        for each in (TrainingSet(data, dataset.buffer), TrainingSet(data))
    )
    torch.testing.assert_close(one, two, rtol=0, atol=0)  # single steps, whatever it is given


def test_a_transformer_hears_the_return_that_it_is_asked_for() -> None:
    dataset = OfflineDataset(vectors(False))
    student, learner = trained("dt", dataset)
    seen = dataset.transitions.observations
    low, high = (outputs(student.policy(learner, target), seen) for target in (-5.0, 5.0))
    assert not torch.equal(low, high)
    data = TrainingSet(dataset.transitions)
    assert data.target_return(100) == pytest.approx(dataset.transitions.returns_to_go.max())
    assert data.target_return(0) == pytest.approx(dataset.transitions.returns_to_go.min())


@pytest.mark.parametrize("name", ["paper", "dqn", "dt"])
def test_a_trained_learner_is_d3rlpys_and_saves_as_any(name: str, tmp_path: Path) -> None:
    dataset = OfflineDataset(images(False))
    _, learner = trained(name, dataset)
    learner.save(str(tmp_path / "learner.d3"))
    loaded = d3rlpy.load_learnable(str(tmp_path / "learner.d3"))
    assert type(loaded) is type(learner)
    if name != "dt":  # a transformer predicts by way of a player with a memory
        seen = dataset.transitions.observations
        np.testing.assert_array_equal(loaded.predict(seen), learner.predict(seen))


def kept_file(path: Path, name: str = "paper") -> Path:
    dataset = OfflineDataset(make_buffer([9]))
    student, learner = trained(name, dataset)
    save_student(path, name, student, learner, 0.0, {"train_seconds": 1.0, "steps": 4.0})
    return path


def test_a_student_of_version_0_1_still_plays(tmp_path: Path) -> None:
    """It says only how it was trained: it was the paper's, of 64x64 frames and 15 actions."""
    network = build_learner(paper_learner(TINY), (3, 64, 64), 15, seed=3)
    path = tmp_path / "student_0.safetensors"
    record = {"train_seconds": "2.5", "steps": "100.0"}
    safetensors.torch.save_file(
        {k: v.contiguous() for k, v in learner_network(network).state_dict().items()}, path, record
    )
    assert is_student(path)
    kept = load_student(path)
    frames = np.random.default_rng(0).integers(0, 256, (5, 3, 64, 64)).astype(np.uint8)
    wanted = outputs(STUDENTS.get("paper")().policy(network, 0.0), frames)
    torch.testing.assert_close(outputs(kept.policy, frames), wanted, rtol=0, atol=0)
    assert (kept.shape, kept.action_size) == ((3, 64, 64), 15)
    assert read_weights(path)[1]["record"] == {"train_seconds": 2.5, "steps": 100.0}


def test_files_that_are_no_students_or_damaged_are_refused(tmp_path: Path) -> None:
    path = kept_file(tmp_path / "student.safetensors")
    weights, about = read_weights(path)
    assert not is_student(tmp_path / "missing.safetensors")
    plain = tmp_path / "plain.safetensors"
    safetensors.torch.save_file({"w": torch.zeros(3)}, plain)
    assert not is_student(plain)
    with pytest.raises(CheckpointError, match=r"plain\.safetensors is damaged"):
        load_student(plain)

    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(path.read_bytes()[:-20])
    assert not is_student(cut)
    with pytest.raises(CheckpointError, match=r"cut\.safetensors is damaged: remove it with 'rm"):
        load_student(cut)

    def written(name: str, weights: dict[str, torch.Tensor], text: str) -> Path:
        save_tensors(tmp_path / name, weights, {"student": text})
        return tmp_path / name

    flipped = bytearray(path.read_bytes())
    flipped[-1] ^= 1
    (tmp_path / "flipped.safetensors").write_bytes(flipped)
    with pytest.raises(CheckpointError, match=r"flipped\.safetensors is damaged"):
        load_student(tmp_path / "flipped.safetensors")
    some = dict(list(weights.items())[1:])
    with pytest.raises(CheckpointError, match=r"is no paper student .*Missing key"):
        load_student(written("some.safetensors", some, json.dumps(about)))
    with pytest.raises(CheckpointError, match="is damaged"):
        load_student(written("text.safetensors", weights, "{not JSON"))
    with pytest.raises(CheckpointError, match="is damaged"):
        load_student(written("less.safetensors", weights, json.dumps({"name": "paper"})))
    with pytest.raises(UnknownNameError, match="unknown student 'papyrus': did you mean 'paper'"):
        load_student(written("name.safetensors", weights, json.dumps({**about, "name": "papyrus"})))


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("pathlib.Path.write_bytes", fails)
    with pytest.raises(OSError, match="no space left"):
        kept_file(tmp_path / "student.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_bytes_of_a_training_set_count_what_is_stored() -> None:
    data = TransitionArrays.from_buffer(make_buffer([5]))
    assert TrainingSet(data).n_bytes == 5 * (3 * 16 * 16 + 4 + 4)
    assert TrainingSet(TransitionArrays.from_buffer(vectors(True))).n_bytes == 33 * (3 * 4 + 2 * 4 + 4)
