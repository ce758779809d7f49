"""Datasets whose frames stay in a file: the same values, bounded memory, and a cache that is never taken on trust."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from d3rlpy.dataset import ReplayBuffer

from buffers import make_buffer, paper_learner, vectors
from d3rlpy_distill import Budget, OfflineDataset, TransitionArrays, memory, pipeline
from d3rlpy_distill.data import EpisodeData, EpisodeWriter, Provenance, load_dataset
from d3rlpy_distill.data.hdf5 import loading
from d3rlpy_distill.data.mapped import SUFFIX, FrameCache, MappedRows, cache
from d3rlpy_distill.errors import DamagedFileError, DatasetFormatError, SettingsError, TooLargeError
from d3rlpy_distill.executors.mapped import Mapped
from d3rlpy_distill.learners.convergence import ConvergenceConfig, train_to_convergence
from d3rlpy_distill.methods.checkpoint import data_fingerprint
from d3rlpy_distill.methods.features import pooled_pixels
from d3rlpy_distill.pipeline import distill
from d3rlpy_distill.students.stock import StockStudent
from d3rlpy_distill.tasks import LoadedPolicy

LENGTHS, RETURNS = [5, 1, 3, 4, 2], [1.0, 4.0, 2.0, 5.0, 3.0]


def mixed() -> ReplayBuffer:
    """Episodes of which some timed out."""
    buffer = make_buffer(LENGTHS, RETURNS)
    timeouts = {0, 3}
    episodes = [
        dataclasses.replace(episode, terminated=i not in timeouts) for i, episode in enumerate(buffer.episodes)
    ]
    return ReplayBuffer(type(buffer.buffer)(), episodes=episodes, action_size=4)


KINDS = {
    "pixels": lambda: make_buffer(LENGTHS, RETURNS),
    "timeouts": mixed,
    "channels last": lambda: make_buffer([3, 2], shape=(16, 20, 3), terminated=False),
    "vectors": lambda: vectors(continuous=False),
    "continuous": lambda: vectors(continuous=True, terminated=False),
}


def saved(path: Path, buffer: ReplayBuffer, behaviour: np.ndarray | None = None) -> Path:
    OfflineDataset(buffer, task="gym/Some-v1", behaviour=behaviour).save(path)
    return path


def cache_of(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where caches go that cannot lie beside their dataset."""
    directory = tmp_path / "caches"
    monkeypatch.setenv("XDG_CACHE_HOME", str(directory))
    return directory / "d3rlpy-distill"


@pytest.fixture(params=["mapped", "read"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that fits stays mapped, a larger one is read, and its episodes' pages are let go."""
    if request.param == "read":
        monkeypatch.setattr(cache, "RESIDENT", 0)


def assert_same(one: TransitionArrays, other: TransitionArrays) -> None:
    for field in dataclasses.fields(TransitionArrays):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        np.testing.assert_array_equal(mine, theirs, err_msg=field.name)
        assert getattr(mine, "dtype", None) == getattr(theirs, "dtype", None), field.name
        assert getattr(mine, "shape", None) == getattr(theirs, "shape", None), field.name


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_mapped_dataset_is_the_one_in_memory(kind: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "data.h5", KINDS[kind]())
    held = OfflineDataset.load(path)
    assert not cache_of(path).exists()  # small ones are read into memory
    for mapped in (OfflineDataset.load(path, mapped=True), OfflineDataset.load(path)):  # made, and found again
        assert cache_of(path).exists()
        assert isinstance(mapped.transitions.observations, MappedRows)
        assert_same(mapped.transitions, held.transitions)
        assert data_fingerprint(mapped.transitions) == data_fingerprint(held.transitions)
        assert dataclasses.replace(mapped, recorded_sha256=None).sha256 == held.sha256
        for name in ("action_size", "discrete", "observation_shape", "has_images", "has_pixels", "mean_return"):
            assert getattr(mapped, name) == getattr(held, name), name
        assert mapped.buffer.dataset_info == held.buffer.dataset_info
        assert (mapped.buffer.size(), len(mapped)) == (held.buffer.size(), len(held))
        for ours, theirs in zip(mapped.buffer.episodes, held.buffer.episodes, strict=True):
            for column in ("observations", "actions", "rewards"):
                np.testing.assert_array_equal(getattr(ours, column), getattr(theirs, column))
                assert getattr(ours, column).dtype == getattr(theirs, column).dtype
            assert (ours.terminated, len(ours)) == (theirs.terminated, len(theirs))
        for i in (0, len(held) - 1, -1):
            (ours, at), (theirs, there) = mapped.buffer.buffer[i], held.buffer.buffer[i]
            assert at == there
            np.testing.assert_array_equal(ours.observations, theirs.observations)
        with pytest.raises(IndexError):
            mapped.buffer.buffer[len(held)]
        with pytest.raises(SettingsError, match="takes no more episodes"):
            mapped.buffer.append_episode(held.buffer.episodes[0])


def test_an_episode_without_a_transition_is_left_out_as_d3rlpy_does(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    with EpisodeWriter(path, Provenance("collected", None, 4, "", {})) as writer:
        for i, (episode, timeout) in enumerate(zip(make_buffer(LENGTHS, RETURNS).episodes, "nynyy", strict=True)):
            data = EpisodeData(
                np.asarray(episode.observations), episode.actions[:, 0], episode.rewards[:, 0], timeout == "n"
            )
            writer.write(data)
            assert i != 1 or len(data.actions) == 1
    mapped, held = (OfflineDataset.load(path, mapped=one) for one in (True, False))
    assert mapped.buffer.size() == held.buffer.size() == 4
    assert_same(mapped.transitions, held.transitions)
    for percent in (20, 60):
        assert_same(mapped.best(percent)[0], held.best(percent)[0])
        ours, theirs = (TransitionArrays.from_buffer(one.replay_buffer(percent)) for one in (mapped, held))
        assert_same(ours, theirs)


@pytest.mark.usefixtures("both_ways")
def test_rows_are_read_as_an_arrays_are(tmp_path: Path) -> None:
    path = saved(tmp_path / "data.h5", mixed())
    mapped, held = (OfflineDataset.load(path, mapped=one).transitions for one in (True, False))
    rows, array = mapped.observations, held.observations
    mask = np.arange(len(held)) % 2 == 0
    for index in (0, -1, slice(2, 7), slice(None, None, -3), np.array([3, 3, 0, -2]), mask, np.array([], int)):
        np.testing.assert_array_equal(rows[index], array[index])
    assert (rows.ndim, rows.size, rows.nbytes) == (array.ndim, array.size, array.nbytes)
    np.testing.assert_array_equal(np.stack(list(rows)), array)  # type: ignore[call-overload]
    with pytest.raises(IndexError):
        rows[len(array)]
    rows[0][...] = 7  # a copy
    np.testing.assert_array_equal(rows[0], array[0])
    np.testing.assert_array_equal(pooled_pixels(rows), pooled_pixels(array))
    index = np.arange(len(held))
    np.testing.assert_array_equal(mapped.next_observations(index), held.next_observations(index))


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("percent", [10, 40, 70, 100])
def test_percentiles_are_rows_of_the_same_file(percent: float, tmp_path: Path) -> None:
    path = saved(tmp_path / "data.h5", mixed())
    mapped, held = (OfflineDataset.load(path, mapped=one) for one in (True, False))
    (ours, rows), (theirs, there) = mapped.best(percent), held.best(percent)
    np.testing.assert_array_equal(rows, there)
    assert_same(ours, theirs)
    assert isinstance(ours.observations, MappedRows)
    index = np.arange(len(theirs))
    np.testing.assert_array_equal(ours.next_observations(index), theirs.next_observations(index))
    mine, other = mapped.replay_buffer(percent), held.replay_buffer(percent)
    assert mine.dataset_info == other.dataset_info and mine.transition_count == other.transition_count
    assert_same(TransitionArrays.from_buffer(mine), TransitionArrays.from_buffer(other))


def test_distilling_and_training_give_the_same_bits(tmp_path: Path) -> None:
    behaviour = np.random.default_rng(0).dirichlet(np.ones(4), sum(LENGTHS)).astype(np.float32)
    path = saved(tmp_path / "data.h5", mixed(), behaviour)
    mapped, held = (OfflineDataset.load(path, mapped=one) for one in (True, False))
    for method in ("gradient", "labels", "k-center", "herding", "random"):
        steps = {"steps": 3} if method in ("gradient", "labels") else {}
        ours, theirs = (
            distill(one, method, student="paper", seed=1, n_samples=4, **steps) for one in (mapped, held)
        )
        assert ours.sha256 == theirs.sha256, method
    convergence = ConvergenceConfig(3, check_every=2)
    trained = [
        train_to_convergence(paper_learner(Budget(3, 4)), one.transitions, convergence, seed=0)[0]
        for one in (mapped, held)
    ]
    frames = held.transitions.observations
    np.testing.assert_array_equal(*(one.predict(frames) for one in trained))


def test_d3rlpys_own_training_gives_the_same_bits(tmp_path: Path) -> None:
    from d3rlpy_distill.catalogue import STUDENTS
    from d3rlpy_distill.data.training_set import TrainingSet

    path = saved(tmp_path / "data.h5", mixed())
    actions = []
    for one in (True, False):
        dataset = OfflineDataset.load(path, mapped=one)
        student = STUDENTS.get("dqn")()
        assert isinstance(student, StockStudent)
        data = TrainingSet(dataset.transitions, dataset.buffer)
        learner = student.fit(student.learner(dataset, Budget(4, 8)), data, 4, seed=0)
        actions.append(learner.predict_value(np.asarray(data.transitions.observations), data.transitions.actions))
    np.testing.assert_array_equal(*actions)


def test_large_ones_are_mapped_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "data.h5", make_buffer([4]))
    size = 4 * 3 * 16 * 16
    monkeypatch.setattr(loading, "MAPPED_BYTES", size + 1)
    load_dataset(path)
    assert not cache_of(path).exists()
    monkeypatch.setattr(loading, "MAPPED_BYTES", size)
    load_dataset(path, mapped=False)
    assert not cache_of(path).exists()
    load_dataset(path)
    assert cache_of(path).exists()


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("where", ["header", "frames", "columns", "end", "all"])
def test_a_cache_that_was_changed_is_not_taken(where: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "data.h5", make_buffer(LENGTHS))
    held = OfflineDataset.load(path)
    dataset = OfflineDataset.load(path, mapped=True)
    assert_same(dataset.transitions, held.transitions)
    file = cache_of(path)
    good = file.read_bytes()
    data = bytearray(good)
    if where == "all":
        data = data[: len(data) // 2]
    elif where == "end":
        data = data[:-1]
    else:
        data[{"header": 60, "frames": cache.HEADER + 5, "columns": len(data) - 3}[where]] ^= 1
    file.unlink()  # who has it open keeps the old one
    file.write_bytes(data)
    np.testing.assert_array_equal(dataset.transitions.observations, held.transitions.observations)
    again = OfflineDataset.load(path)
    if where != "frames":  # made anew, or read into memory
        assert_same(again.transitions, held.transitions)
        assert OfflineDataset.load(path, mapped=True).transitions.observations.shape == (15, 3, 16, 16)
        assert file.read_bytes() == good
        return
    message = rf"is damaged, at step 0: remove it with 'rm {file}', it is made again"
    with pytest.raises(DamagedFileError, match=message):
        again.transitions.observations[:1]
    with pytest.raises(DamagedFileError, match=message):
        again.buffer.episodes[0].observations  # noqa: B018
    np.testing.assert_array_equal(again.transitions.observations[1:], held.transitions.observations[1:])


def test_a_cache_is_of_one_files_bytes(tmp_path: Path) -> None:
    path = saved(tmp_path / "data.h5", make_buffer(LENGTHS))
    OfflineDataset.load(path, mapped=True)
    path.unlink()
    saved(path, make_buffer(LENGTHS, seed=1))
    held = OfflineDataset.load(path, mapped=False)
    assert_same(OfflineDataset.load(path, mapped=True).transitions, held.transitions)


def test_nothing_but_a_cache_is_written_over(tmp_path: Path, caches: Path) -> None:
    path = saved(tmp_path / "data.h5", make_buffer(LENGTHS))
    cache_of(path).write_text("mine")
    dataset = OfflineDataset.load(path, mapped=True)
    assert cache_of(path).read_text() == "mine"
    assert [one.suffix for one in caches.iterdir()] == [SUFFIX]
    assert isinstance(OfflineDataset.load(path).transitions.observations, MappedRows)
    assert dataset.transitions.observations.shape == (15, 3, 16, 16)


def test_without_room_it_is_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "data.h5", make_buffer(LENGTHS))
    monkeypatch.setattr(cache, "SPARE", 1 << 62)
    monkeypatch.setattr(loading, "MAPPED_BYTES", 1)
    assert isinstance(OfflineDataset.load(path).transitions.observations, np.ndarray)
    with pytest.raises(TooLargeError, match=r"no room for the cache of its frames"):
        OfflineDataset.load(path, mapped=True)
    assert not cache_of(path).exists()


def test_a_damaged_dataset_leaves_no_cache(tmp_path: Path) -> None:
    path = tmp_path / "stock.h5"
    with path.open("w+b") as file:
        make_buffer([4, 3], action_size=5).dump(file)
    loaded = load_dataset(path, mapped=True)[1]
    assert loaded.action_size <= 5
    with pytest.raises(DatasetFormatError, match=r"observations of shape \(3, 16, 16\): expected \(3, 64, 64\)"):
        load_dataset(path, observation_shape=(3, 64, 64))
    with pytest.raises(DatasetFormatError, match=r"action \d: expected 0 to 1"):
        load_dataset(path, action_size=2)
    cache_of(path).unlink()
    with pytest.raises(DatasetFormatError, match=r"expected 0 to 1"):
        load_dataset(path, action_size=2, mapped=True)
    assert [one.name for one in tmp_path.iterdir()] == ["stock.h5"]


def test_two_at_once_make_one_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "data.h5", make_buffer(LENGTHS))
    held = OfflineDataset.load(path)
    writes, found = [], []
    write = cache._write

    def counted(*arguments: object) -> None:
        writes.append(1)
        write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(cache, "_write", counted)
    monkeypatch.setattr(cache, "POLL", 0.01)
    threads = [
        threading.Thread(target=lambda: found.append(OfflineDataset.load(path, mapped=True))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(writes) == 1 and len(found) == 4
    for one in found:
        assert_same(one.transitions, held.transitions)


def test_workers_open_the_file_and_other_machines_get_the_frames(tmp_path: Path) -> None:
    path = saved(tmp_path / "data.h5", make_buffer([400, 300], shape=(3, 32, 32)))
    dataset = OfflineDataset.load(path, mapped=True)
    held = OfflineDataset.load(path, mapped=False)
    size = dataset.transitions.observations.nbytes
    shared = Mapped(dataset, tmp_path)
    (file,) = tmp_path.glob("*.shared")
    assert file.stat().st_size < size / 10
    there = shared.get()
    assert_same(there.transitions, held.transitions)
    np.testing.assert_array_equal(there.buffer.episodes[1].observations, held.buffer.episodes[1].observations)
    sent = pickle.dumps(dataset, protocol=5)
    assert size < len(sent) < 1.5 * size
    cache_of(path).unlink()
    path.unlink()
    assert_same(pickle.loads(sent).transitions, held.transitions)
    with pytest.raises(FileNotFoundError):
        FrameCache.open(cache_of(path), "")


FRAMES, LENGTH, LIMIT = 12000, 100, 80 << 20
COMMAND = """
import json, resource, sys
from pathlib import Path
import numpy as np
from d3rlpy_distill import OfflineDataset, distill
from d3rlpy_distill.data.hdf5 import loading
from d3rlpy_distill.data.mapped import cache
from d3rlpy_distill.memory import memory_limit
from d3rlpy_distill.methods.checkpoint import data_fingerprint

loading.MAPPED_BYTES = 1
cache.RESIDENT = 16 << 20
path, mapped, limit = Path(sys.argv[1]), sys.argv[2] == "mapped", int(sys.argv[3])
np.ones((256, 3, 64, 64)).sum()
with memory_limit(limit):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    dataset = OfflineDataset.load(path, mapped=mapped)
    data, rng = dataset.transitions, np.random.default_rng(0)
    for _ in range(40):
        data.observations[rng.integers(len(data), size=128)]
    dataset.best(50)[0].observations[:128]
    for episode in dataset.buffer.episodes:
        episode.observations[0]
    data_fingerprint(data)
    made = distill(dataset, "random", n_samples=8)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps({"grown": grown << 10, "sha256": made.sha256}))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits are Linux's")
def test_memory_holds_a_part_of_the_frames(tmp_path: Path) -> None:
    """The same work fails under the same limit where the frames are held in memory."""
    path = tmp_path / "data.h5"
    frame = np.random.default_rng(0).integers(0, 256, (3, 64, 64)).astype(np.uint8)
    with EpisodeWriter(path, Provenance("collected", None, 4, "", {})) as writer:
        for i in range(FRAMES // LENGTH):
            frames = np.broadcast_to(frame, (LENGTH, 3, 64, 64)) + np.uint8(i)
            writer.write(EpisodeData(frames, np.full(LENGTH, i % 4, np.int32), np.ones(LENGTH, np.float32), True))
    size = FRAMES * frame.nbytes

    def work(how: str, limit: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", COMMAND, str(path), how, str(limit)]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)

    done = work("mapped", LIMIT)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["grown"] < LIMIT + (32 << 20) < size  # what is held, and what is mapped
    refused = work("held", LIMIT)
    assert refused.returncode != 0 and "GB of memory" in refused.stderr
    held = distill(OfflineDataset.load(path, mapped=False), "random", n_samples=8)
    assert held.sha256 == said["sha256"]


@pytest.mark.parametrize(
    ("continuous", "method", "settings"),
    [
        (False, "gradient", {"steps": 2}),
        (False, "unrolled", {"steps": 1, "window": 1, "horizon": 2}),
        (False, "labels", {"teacher_steps": 2, "n_teachers": 1}),
        (False, "kernel", {"teacher_steps": 2, "n_teachers": 1, "moves": 1}),
        (False, "unrolled-labels", {"teacher_steps": 2, "n_teachers": 1, "moves": 1, "window": 1}),
        *((False, name, {}) for name in ("random", "balanced", "prior", "herding", "k-center")),
        (True, "gradient", {"steps": 2}),
        (True, "unrolled", {"preset": "av-pbc", "steps": 1, "window": 1, "horizon": 2}),
        (True, "kernel-actions", {"preset": "av-pbc", "steps": 2}),
        (True, "kernel-actions", {"preset": "sdw", "steps": 2}),
        (True, "random", {}),
    ],
)
def test_every_method_distils_mapped_vectors_as_those_in_memory(
    continuous: bool, method: str, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors have scalers, units and densities of all their values, which images have not."""
    path = saved(tmp_path / "data.h5", vectors(continuous=continuous))
    student = "mlp"
    expert = LoadedPolicy("given", Likes(), "ab" * 32)
    monkeypatch.setattr(pipeline, "task_of", lambda dataset: Given(expert))
    made = [
        distill(OfflineDataset.load(path, mapped=mapped), method, student=student, n_samples=4, **settings)
        for mapped in (False, True)
    ]
    assert made[0].sha256 == made[1].sha256


class Likes:
    """A policy of continuous actions that likes all it sees."""

    def actions(self, observations: torch.Tensor) -> torch.Tensor:
        return torch.tanh(observations[:, 1:])

    def values(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return observations.square().sum(1) + 1


@dataclasses.dataclass(frozen=True)
class Given:
    """A task that has a policy."""

    policy: LoadedPolicy

    def expert_name(self, settings: dict[str, Any]) -> str:
        return "given"

    def load_policy(self, name: str, *, trust: bool = False) -> LoadedPolicy:
        return self.policy


@pytest.mark.parametrize("version", [1, 2])
def test_a_limit_of_a_control_group_counts(version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a container or a Slurm job: the machine has more, and would kill the process that took it."""
    names = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes"), 2: ("memory.max", "memory.current")}[version]
    controllers = {1: "memory", 2: ""}[version]
    job = tmp_path / controllers / "job"
    (job / "step").mkdir(parents=True)
    (tmp_path / "membership").write_text(f"9:pids:/elsewhere\n4:{controllers}:/job/step\n")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "MEMBERSHIP", tmp_path / "membership")
    unlimited = memory.free_memory()
    assert unlimited is not None and unlimited > 10_000_000
    for group, limit, used, cached in ((job, "9000000", 3_000_000, 1_000_000), (job / "step", "max", 5, 0)):
        for name, value in zip(names, (limit, used), strict=True):
            (group / name).write_text(f"{value}\n")
        (group / "memory.stat").write_text(f"active_file 7\ninactive_file {cached}\n")
    assert memory.free_memory() == 7_000_000
    (job / names[0]).write_text("1000000\n")
    assert memory.free_memory() == 0
