"""Offline datasets: a buffer with what is known of it, to a file and back."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest
from d3rlpy.dataset import InfiniteBuffer, ReplayBuffer

from buffers import make_buffer, vectors
from d3rlpy_distill import OfflineDataset, TransitionArrays
from d3rlpy_distill.data import Provenance, read_extras, read_info
from d3rlpy_distill.errors import DatasetFormatError, OutputExistsError, SettingsError, UnsuitableDatasetError
from d3rlpy_distill.files import write_seal


def buffers() -> dict[str, ReplayBuffer]:
    return {
        "pixels": make_buffer([4, 1, 3]),
        "timeouts": make_buffer([4, 2, 3], terminated=False),
        "channels last": make_buffer([3, 2], shape=(16, 20, 3)),
        "vectors": vectors(continuous=False),
        "continuous": vectors(continuous=True, terminated=False),
    }


@pytest.mark.parametrize("kind", list(buffers()))
def test_a_file_gives_back_the_episodes_and_their_hash(kind: str, tmp_path: Path) -> None:
    dataset = OfflineDataset(buffers()[kind], task="gym/Some-v1")
    path = tmp_path / "data.h5"
    dataset.save(path, command="made by hand")
    loaded = OfflineDataset.load(path)
    assert loaded.sha256 == dataset.sha256 == loaded.recorded_sha256
    assert dataclasses.replace(loaded, recorded_sha256=None).sha256 == dataset.sha256  # computed anew
    assert (loaded.task, loaded.name, loaded.behaviour) == ("gym/Some-v1", "data.h5", None)
    assert loaded.provenance is not None
    assert (loaded.provenance.kind, loaded.provenance.command) == ("imported", "made by hand")
    for name in ("action_size", "discrete", "observation_shape", "has_images", "has_pixels", "mean_return"):
        assert getattr(loaded, name) == getattr(dataset, name), name
    assert len(loaded) == len(dataset) == len(loaded.transitions)
    for field in dataclasses.fields(TransitionArrays):
        np.testing.assert_array_equal(
            getattr(loaded.transitions, field.name), getattr(dataset.transitions, field.name)
        )
    # through a second file nothing changes, and it is never overwritten
    again = tmp_path / "again.h5"
    loaded.save(again)
    assert read_info(again).content_sha256 == dataset.sha256
    with pytest.raises(OutputExistsError, match=r"again\.h5 exists already"):
        loaded.save(again)


def test_what_a_dataset_says_of_itself() -> None:
    kinds = {name: OfflineDataset(buffer) for name, buffer in buffers().items()}
    pixels, last, flat, continuous = (kinds[k] for k in ("pixels", "channels last", "vectors", "continuous"))
    assert pixels.has_images and pixels.has_pixels and pixels.discrete and pixels.action_size == 4
    assert last.observation_shape == (3, 16, 20) == last.transitions.observations.shape[1:]
    assert not flat.has_images and not flat.has_pixels and flat.observation_shape == (3,)
    assert not continuous.discrete and continuous.action_size == 2
    assert len(kinds["timeouts"]) == 9 - 3  # the last step of a timed-out episode is no transition
    returns = [float(episode.rewards.sum()) for episode in pixels.buffer.episodes]
    assert pixels.mean_return == pytest.approx(np.mean(returns))


def test_the_hash_is_of_the_content() -> None:
    dataset = OfflineDataset(make_buffer([4, 3]))
    assert OfflineDataset(make_buffer([4, 3]), task="x", name="y").sha256 == dataset.sha256
    others = [make_buffer([3, 4]), make_buffer([4, 3], terminated=False), make_buffer([4, 3], seed=1)]
    assert len({dataset.sha256, *(OfflineDataset(other).sha256 for other in others)}) == 4


def test_behaviour_goes_to_the_file_and_comes_back(tmp_path: Path) -> None:
    buffer = make_buffer([3, 2, 4], terminated=False)
    behaviour = np.random.default_rng(0).dirichlet(np.ones(4), 9).astype(np.float32)
    dataset = OfflineDataset(buffer, behaviour=behaviour)
    assert dataset.policy is not None
    np.testing.assert_array_equal(dataset.policy, behaviour[[0, 1, 3, 5, 6, 7]])
    path = tmp_path / "data.h5"
    dataset.save(path)
    np.testing.assert_array_equal(read_extras(path, "steps")["action_probabilities"], behaviour)
    loaded = OfflineDataset.load(path)
    assert loaded.behaviour is not None and loaded.policy is not None
    np.testing.assert_array_equal(loaded.behaviour, behaviour)
    np.testing.assert_array_equal(loaded.policy, dataset.policy)
    assert OfflineDataset(buffer).policy is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.full((8, 4), 0.25), r"shape \(8, 4\): expected \(9, 4\), one row for each step"),
        (np.full((10, 4), 0.25), r"shape \(10, 4\): expected \(9, 4\)"),
        (np.full((9, 3), 1 / 3), r"shape \(9, 3\): expected \(9, 4\)"),
        (np.full(9, 1.0), r"shape \(9,\): expected \(9, 4\)"),
        (np.full((9, 4), 0.3), "sum to .*: expected 1"),
        (np.full((9, 4), np.nan), "not finite"),
        (np.tile([1.5, -0.5, 0.0, 0.0], (9, 1)), "below 0"),
    ],
)
def test_behaviour_that_does_not_fit_is_refused(rows: np.ndarray, message: str, tmp_path: Path) -> None:
    """Where it is read, and before it is written."""
    dataset = OfflineDataset(make_buffer([3, 2, 4], terminated=False), behaviour=rows)
    with pytest.raises(UnsuitableDatasetError, match=message):
        dataset.policy  # noqa: B018
    with pytest.raises(UnsuitableDatasetError, match=message):
        dataset.save(tmp_path / "x.h5")
    assert list(tmp_path.iterdir()) == []


def test_best_are_whole_episodes_of_the_highest_returns() -> None:
    dataset = OfflineDataset(make_buffer([5, 3, 2], [1.0, 3.0, 2.0]))
    everything, rows = dataset.best(100)
    assert everything is dataset.transitions
    np.testing.assert_array_equal(rows, np.arange(10))
    for percent, wanted in ((0.1, [5, 6, 7]), (30, [5, 6, 7]), (31, [5, 6, 7, 8, 9]), (51, range(10))):
        data, rows = dataset.best(percent)
        np.testing.assert_array_equal(rows, list(wanted))
        np.testing.assert_array_equal(data.observations, everything.observations[rows])
        np.testing.assert_array_equal(data.episodes, everything.episodes[rows])
        buffer = dataset.replay_buffer(percent)
        assert buffer.transition_count == len(rows) and buffer.dataset_info.action_size == 4
    assert dataset.replay_buffer() is dataset.buffer
    for percent in (0, -1, 100.5, float("nan")):
        with pytest.raises(SettingsError, match=r"percent=.*expected above 0 and at most 100"):
            dataset.best(percent)


def test_a_file_of_d3rlpys_own_says_less_and_is_told_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "stock.h5"
    with path.open("w+b") as file:
        make_buffer([4, 3], action_size=3).dump(file)
    bare = OfflineDataset.load(path)
    assert bare.task is None and bare.provenance is None and bare.recorded_sha256 is None
    told = OfflineDataset.load(path, task="gym/Some-v1", action_size=5)
    assert told.task == "gym/Some-v1" and told.action_size == 5 and told.transitions.action_size == 5
    assert told.sha256 == bare.sha256 == OfflineDataset(make_buffer([4, 3], action_size=3)).sha256
    with pytest.raises(DatasetFormatError, match=r"observations of shape \(3, 16, 16\): expected \(3, 64, 64\)"):
        OfflineDataset.load(path, observation_shape=(3, 64, 64))
    with pytest.raises(DatasetFormatError, match="does not exist"):
        OfflineDataset.load(tmp_path / "missing.h5")


def test_a_task_that_is_told_is_the_one_that_is_saved(tmp_path: Path) -> None:
    first = tmp_path / "first.h5"
    known = Provenance("collected", "gym/First-v1", 4, "collect", {"seed": 3})
    OfflineDataset(make_buffer([4, 3]), task="gym/First-v1", provenance=known).save(first)
    assert OfflineDataset.load(first).task == "gym/First-v1"
    other = OfflineDataset.load(first, task="gym/Second-v1")
    assert other.task == "gym/Second-v1"
    second = tmp_path / "second.h5"
    other.save(second)
    loaded = OfflineDataset.load(second)
    assert loaded.task == "gym/Second-v1" and loaded.provenance is not None
    assert (loaded.provenance.kind, loaded.provenance.settings) == ("collected", {"seed": 3})


def test_a_changed_file_is_found_out(tmp_path: Path) -> None:
    path, other = tmp_path / "data.h5", tmp_path / "other.h5"
    OfflineDataset(make_buffer([4, 3])).save(path)
    dataset = dataclasses.replace(OfflineDataset.load(path), buffer=make_buffer([4, 3], seed=1))
    assert dataset.sha256 == dataset.recorded_sha256  # what was said is believed until it is asked for
    with h5py.File(path, "a") as file:
        file["rewards_0"][0] = 7.0
    with pytest.raises(DatasetFormatError, match="is damaged"):
        OfflineDataset.load(path)
    write_seal(path)  # whoever can do that is believed
    assert OfflineDataset.load(path).transitions.rewards[0] == 7
    assert not other.exists()


def test_stock_d3rlpy_loads_what_is_saved(tmp_path: Path) -> None:
    buffer = vectors(continuous=False)
    OfflineDataset(buffer).save(tmp_path / "data.h5")
    stock = ReplayBuffer.load(str(tmp_path / "data.h5"), InfiniteBuffer())
    for ours, theirs in zip(buffer.episodes, stock.episodes, strict=True):
        np.testing.assert_array_equal(ours.observations, theirs.observations)
        np.testing.assert_array_equal(ours.actions, theirs.actions)
        np.testing.assert_array_equal(ours.rewards, theirs.rewards)
        assert ours.terminated == theirs.terminated
