"""Distilled sets as objects: whole by themselves, to a file and back, those of version 0.1 included."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from d3rlpy.algos import BCConfig, DiscreteBCConfig, DQNConfig
from d3rlpy.constants import ActionSpace
from d3rlpy.dataset import InfiniteBuffer, ReplayBuffer
from d3rlpy.models.encoders import VectorEncoderFactory
from d3rlpy.preprocessing import StandardObservationScaler

import procgen_datasets
from buffers import distil, make_buffer, vectors
from d3rlpy_distill import (
    Distilled,
    GradientMatchingConfig,
    LabelDistillationConfig,
    OfflineDataset,
    Teachers,
    TransitionArrays,
)
from d3rlpy_distill.data import Provenance, load_dataset, read_info
from d3rlpy_distill.errors import DatasetFormatError, OutputExistsError, UnsuitableDatasetError
from d3rlpy_distill.files import write_seal
from d3rlpy_distill.learners.learner import build_learner, learner_network
from d3rlpy_distill.methods.random import RandomCoreset

SMALL = VectorEncoderFactory(hidden_units=[8])
BUNDLED = {
    "bigfish-distilled-150": "31b729e7e83cdc9e6022e5b1015a91e66a7e2396854bc1214bbfb2dfe4e2cad3",
    "bigfish-soft-150": "3246ab51e2988897f831fd4455834a09defaad160ea407883d298aea13699919",
    "jumper-distilled-150": "cc87f6f42f839086a7d16c314c8f53ff625d67e7d29f690317f57feee2376817",
    "jumper-soft-150": "960ca31a2780ca169644696e6996c2199a711c955aff63d54d29ac5456e9de1f",
    "starpilot-distilled-150": "163cb8401598475f65eede84ae946901a746f90ec23a4f5686df7065f6af486d",
    "starpilot-soft-150": "e533afcb4b279132f015ffd522409dd56a91453c18175812a7ad3778f11b9988",
}
"""Content hashes of the files that version 0.1 shipped."""
VIEWS = {
    "bigfish-views-150": "0db69eb8ff5d8460a02842317368a306a3824a5db1c99ef62a66c3b323a77252",
    "jumper-views-150": "7995d9a193d4c90925acc0bf93a2e81229783aed240af1517e1763300e74530e",
    "starpilot-views-150": "1ff7896f551cdc9e3b5bdf03956f2bf8dfda3854d985342cb1dbcf4440d677f0",
}
"""Hashes of the sets with views, labels included."""


def hard_pixels() -> Distilled:
    learner = DiscreteBCConfig(batch_size=8, beta=0.0)
    encoder = VectorEncoderFactory(hidden_units=[4])
    method = GradientMatchingConfig(
        learner=dataclasses.replace(learner, encoder_factory=encoder), n_samples=7, steps=2, real_batch_size=8
    )
    return distil(method, make_buffer([20, 9], shape=(6,)))


def soft_vectors() -> Distilled:
    learner = DiscreteBCConfig(
        batch_size=8, beta=0.0, encoder_factory=SMALL, observation_scaler=StandardObservationScaler()
    )
    method = LabelDistillationConfig(learner=learner, n_samples=6, n_teachers=2, teacher_steps=3)
    return distil(method, vectors(continuous=False))


def learned_actions() -> Distilled:
    method = GradientMatchingConfig(
        learner=BCConfig(batch_size=8, encoder_factory=SMALL), n_samples=6, steps=3, learn_actions=True,
        label_learning_rate=0.1, output_dtype="float32",
    )  # fmt: skip
    return distil(method, vectors(continuous=True))


def learned_rewards() -> Distilled:
    method = GradientMatchingConfig(
        learner=DQNConfig(batch_size=8, encoder_factory=SMALL), n_samples=6, steps=3, rewards="learned",
        label_learning_rate=0.1, output_dtype="float32",
    )  # fmt: skip
    return distil(method, vectors(continuous=False))


def chosen() -> Distilled:
    return distil(RandomCoreset(n_samples=6), make_buffer([20, 9]))


KINDS = {
    "moved": hard_pixels,
    "soft": soft_vectors,
    "learned actions": learned_actions,
    "learned rewards": learned_rewards,
    "chosen": chosen,
}


def assert_equal_samples(one: TransitionArrays | None, other: TransitionArrays | None) -> None:
    assert (one is None) == (other is None)
    if one is None or other is None:
        return
    for field in dataclasses.fields(TransitionArrays):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        np.testing.assert_array_equal(mine, theirs)
        assert np.asarray(mine).dtype == np.asarray(theirs).dtype, field.name


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_file_gives_everything_back(kind: str, tmp_path: Path) -> None:
    distilled = KINDS[kind]()
    path = tmp_path / "distilled.h5"
    distilled.save(path)
    loaded = Distilled.load(path)
    assert_equal_samples(loaded.samples, distilled.samples)
    assert_equal_samples(loaded.initial, distilled.initial)
    np.testing.assert_array_equal(loaded.sources, distilled.sources)
    assert len(loaded) == len(distilled) and loaded.soft == distilled.soft == (kind == "soft")
    assert loaded.sha256 == distilled.sha256
    assert read_info(path).content_sha256 == loaded.recorded_sha256
    load_dataset(path)
    if distilled.initial is not None:
        moved = {
            name: not np.array_equal(getattr(distilled.initial, name), getattr(distilled.samples, name))
            for name in ("observations", "actions", "rewards")
        }
        wanted = {"learned actions": "actions", "learned rewards": "rewards"}.get(kind)
        assert moved == {
            "observations": True,
            "actions": wanted == "actions",
            "rewards": wanted == "rewards",
        }
    assert (loaded.teachers is None) == (distilled.teachers is None) == (kind != "soft")
    # through a second file nothing changes, and it is never overwritten
    again = tmp_path / "again.h5"
    loaded.save(again)
    assert Distilled.load(again).sha256 == distilled.sha256
    with pytest.raises(OutputExistsError, match=r"again\.h5 exists already"):
        loaded.save(again)
    stock = ReplayBuffer.load(str(path), InfiniteBuffer())
    assert stock.transition_count == len(distilled)


def test_teachers_come_back_whole_though_nothing_else_is_recorded(tmp_path: Path) -> None:
    """Their learner with its fitted scaler, their weights, and so their labels."""
    distilled = dataclasses.replace(soft_vectors(), provenance=None)
    assert distilled.teachers is not None
    distilled.save(tmp_path / "soft.h5")
    loaded = Distilled.load(tmp_path / "soft.h5").teachers
    assert loaded is not None and len(loaded) == len(distilled.teachers) == 2
    assert loaded.config.serialize_to_dict() == distilled.teachers.config.serialize_to_dict()
    unseen = np.random.default_rng(5).normal(size=(9, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded.label(unseen), distilled.teachers.label(unseen))
    np.testing.assert_array_equal(loaded.label(distilled.samples.observations), distilled.samples.probabilities)


def test_teachers_with_running_statistics_come_back(tmp_path: Path) -> None:
    """A network's state holds scalars, too: batch normalisation counts its batches."""
    config = DiscreteBCConfig(encoder_factory=VectorEncoderFactory([4], use_batch_norm=True))
    network = learner_network(build_learner(config, (3,), 3, seed=0))
    state = network.state_dict()
    assert any(value.ndim == 0 for value in state.values())
    teachers = Teachers(config, [state], (3,), 3)
    distilled = distil(
        LabelDistillationConfig(learner=config, n_samples=5, given=teachers), vectors(continuous=False)
    )
    distilled.save(tmp_path / "x.h5")
    loaded = Distilled.load(tmp_path / "x.h5").teachers
    assert loaded is not None
    assert all(torch.equal(loaded.weights[0][name], value) for name, value in state.items())


def test_provenance_names_task_and_source(tmp_path: Path) -> None:
    settings = {"source_sha256": "12ab", "config": {"n_samples": 7}, "seed": 3}
    told = Provenance("distilled", "gym/Some-v1", 4, "rld-distill distill x.h5", settings)
    bare = dataclasses.replace(hard_pixels(), provenance=None)
    assert (bare.task, bare.source_sha256) == (None, None)
    distilled = dataclasses.replace(bare, provenance=told)
    distilled.save(tmp_path / "x.h5")
    loaded = Distilled.load(tmp_path / "x.h5")
    assert loaded.provenance == told
    assert (loaded.task, loaded.source_sha256) == ("gym/Some-v1", "12ab")
    assert loaded.sha256 == bare.sha256  # what is known of the samples does not change them


def test_a_set_made_in_python_says_how_and_is_made_again_from_that(tmp_path: Path) -> None:
    """The state of the generator is recorded as it was before the first number was drawn from it."""
    dataset = OfflineDataset(make_buffer([9, 7]), task="procgen/starpilot", name="mine.h5")
    rng = np.random.default_rng(11)
    rng.random(5)
    RandomCoreset(n_samples=4).distill(dataset, rng).save(tmp_path / "x.h5")
    loaded = Distilled.load(tmp_path / "x.h5")
    provenance = loaded.provenance
    assert provenance is not None and (provenance.kind, provenance.task) == ("distilled", "procgen/starpilot")
    settings = provenance.settings
    assert (settings["method"], settings["source"], settings["steps"]) == ("random", "mine.h5", 0)
    assert settings["source_sha256"] == loaded.source_sha256 == dataset.sha256
    assert settings["config"] == {"method": "RandomCoreset", "n_samples": 4}
    again = np.random.default_rng()
    again.bit_generator.state = settings["rng"]
    assert RandomCoreset(n_samples=4).distill(dataset, again).sha256 == loaded.sha256
    twister = np.random.Generator(np.random.MT19937(1))  # its state is an array
    recorded = RandomCoreset(n_samples=4).distill(dataset, twister).provenance
    assert recorded is not None and len(recorded.settings["rng"]["state"]["key"]) == 624


def test_the_hash_is_of_samples_and_labels() -> None:
    distilled = soft_vectors()
    assert distilled.samples.probabilities is not None
    hard = dataclasses.replace(
        distilled, samples=dataclasses.replace(distilled.samples, probabilities=None), teachers=None
    )
    flipped = np.ascontiguousarray(distilled.samples.probabilities[::-1])
    other = dataclasses.replace(distilled, samples=dataclasses.replace(distilled.samples, probabilities=flipped))
    assert len({distilled.sha256, hard.sha256, other.sha256}) == 3
    wanted = hashlib.sha256(hard.sha256.encode() + distilled.samples.probabilities.tobytes()).hexdigest()
    assert distilled.sha256 == wanted  # as version 0.1 wrote it into its results
    assert hard.sha256 == OfflineDataset(hard.to_buffer()).sha256


def test_buffers_are_one_step_episodes_whose_reward_is_the_return_to_go() -> None:
    for kind in ("moved", "learned actions", "chosen"):
        distilled = KINDS[kind]()
        data, buffer = distilled.samples, distilled.to_buffer()
        assert all(len(episode) == 1 and episode.terminated for episode in buffer.episodes)
        arrays = TransitionArrays.from_buffer(buffer)
        for name in ("observations", "actions", "rewards", "returns_to_go", "terminals"):
            np.testing.assert_array_equal(getattr(arrays, name), getattr(data, name))
        continuous = kind == "learned actions"
        space = ActionSpace.CONTINUOUS if continuous else ActionSpace.DISCRETE
        assert buffer.dataset_info.action_space == space
        assert buffer.dataset_info.action_size == data.action_size == (2 if continuous else 4)
        training = distilled.training_set()
        assert len(training) == len(distilled) and training.transitions is data
        assert training.n_bytes == data.observations.nbytes + 4 * data.actions.size + 4 * len(data)


def test_soft_labels_are_given_as_actions_where_they_are_asked_for() -> None:
    distilled = soft_vectors()
    buffer = distilled.to_buffer(soft=True)
    labels = np.concatenate([episode.actions for episode in buffer.episodes])
    np.testing.assert_array_equal(labels, distilled.samples.probabilities)
    assert labels.dtype == np.float32 and buffer.dataset_info.action_size == 3
    assert distilled.to_buffer().episodes[0].actions.dtype == np.int32
    with pytest.raises(UnsuitableDatasetError, match="the samples have no soft labels: expected soft=False"):
        chosen().to_buffer(soft=True)


@pytest.mark.parametrize("terminated", [True, False])
def test_a_file_of_another_program_is_samples_of_which_nothing_else_is_known(
    terminated: bool, tmp_path: Path
) -> None:
    """Longer episodes, too: each step becomes a sample with its return."""
    buffer = vectors(continuous=False, terminated=terminated)
    path = tmp_path / "stock.h5"
    with path.open("w+b") as file:
        buffer.dump(file)
    loaded = Distilled.load(path)
    assert loaded.sources is None and loaded.initial is None and loaded.teachers is None
    assert loaded.provenance is None and not loaded.soft
    data = TransitionArrays.from_buffer(buffer)
    assert len(loaded) == len(data) == (33 if terminated else 27)
    np.testing.assert_array_equal(loaded.samples.observations, data.observations)
    np.testing.assert_array_equal(loaded.samples.rewards, data.returns_to_go)
    np.testing.assert_array_equal(loaded.samples.returns_to_go, data.returns_to_go)
    assert loaded.samples.terminals.all()
    again = tmp_path / "again.h5"
    loaded.save(again)
    second = Distilled.load(again)
    assert second.sha256 == loaded.sha256 and second.provenance is not None and second.task is None
    assert_equal_samples(second.samples, loaded.samples)


def test_files_that_do_not_hold_together_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    hard_pixels().save(path)
    with h5py.File(path, "a") as file:
        frames = file["initial/observations"][()]
        del file["initial/observations"]
        file["initial/observations"] = frames[:5]
    with pytest.raises(DatasetFormatError, match="is damaged"):
        Distilled.load(path)
    write_seal(path)
    with pytest.raises(DatasetFormatError, match=r"initial frames of shape \(5, 6\) do not fit its samples"):
        Distilled.load(path)
    with pytest.raises(DatasetFormatError, match="does not exist"):
        Distilled.load(tmp_path / "missing.h5")


def bundled(name: str) -> Path:
    return Path(procgen_datasets.__file__).parent / "distilled" / f"{name}.h5"


def test_all_bundled_files_are_named_here() -> None:
    assert {path.stem for path in bundled("x").parent.glob("*.h5")} == {*BUNDLED, *VIEWS}


@pytest.mark.parametrize("name", list(VIEWS))
def test_bundled_views_are_labelled_by_the_teachers_in_the_file(name: str) -> None:
    loaded = Distilled.load(bundled(name))
    assert loaded.sha256 == VIEWS[name] and loaded.task == f"procgen/{name.split('-')[0]}"
    assert loaded.teachers is not None and loaded.views is not None and len(loaded) == 150
    assert len(loaded.teachers) == 2 and len(loaded.views) == 16_000
    few = loaded.views.only(np.arange(64))
    labels = loaded.teachers.label(few.of(loaded.samples.observations))
    np.testing.assert_allclose(labels, few.probabilities, atol=0.01)  # other CPUs round otherwise
    assert np.abs(labels - labels.mean(0)).max() > 0.5


@pytest.mark.parametrize("name", list(BUNDLED))
def test_bundled_files_of_version_0_1_load(name: str) -> None:
    path = bundled(name)
    loaded = Distilled.load(path)
    assert loaded.recorded_sha256 == BUNDLED[name]
    load_dataset(path)  # what is recorded is what is in the file
    game, kind, _ = name.split("-")
    assert len(loaded) == 150 and loaded.task == f"procgen/{game}" and loaded.soft == (kind == "soft")
    assert loaded.samples.observations.shape == (150, 3, 64, 64)
    assert loaded.samples.observations.dtype == np.uint8 and loaded.samples.action_size == 15
    assert loaded.sources is not None and loaded.sources.shape == (150,)
    assert loaded.source_sha256 is not None and len(loaded.source_sha256) == 64
    if kind == "soft":
        labels: Any = loaded.samples.probabilities
        assert loaded.initial is None and loaded.teachers is not None and len(loaded.teachers) == 3
        # the labels in the file are those of the teachers in the file; other CPUs round otherwise
        np.testing.assert_allclose(loaded.teachers.label(loaded.samples.observations), labels, atol=0.01)
        np.testing.assert_allclose(labels.sum(1), 1, atol=1e-5)
        wanted = hashlib.sha256(BUNDLED[name].encode() + labels.tobytes()).hexdigest()
    else:
        assert loaded.teachers is None and loaded.initial is not None
        assert loaded.initial.observations.shape == (150, 3, 64, 64)
        assert len(np.unique(loaded.sources)) == 10  # ten frames, each with every action
        wanted = BUNDLED[name]
    assert loaded.sha256 == wanted


def test_a_bundled_file_saved_anew_keeps_its_hash_and_teachers(tmp_path: Path) -> None:
    loaded = Distilled.load(bundled("starpilot-soft-150"))
    loaded.save(tmp_path / "new.h5")
    again = Distilled.load(tmp_path / "new.h5")
    assert again.sha256 == loaded.sha256 and again.provenance == loaded.provenance
    assert again.teachers is not None and loaded.teachers is not None
    for mine, theirs in zip(again.teachers.weights, loaded.teachers.weights, strict=True):
        assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
