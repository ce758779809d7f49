"""Files: stock d3rlpy loads them, they are small, whole or absent, and damage is refused."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from d3rlpy.constants import ActionSpace
from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer, load

from buffers import make_buffer, unseal
from d3rlpy_distill.data import (
    EpisodeData,
    EpisodeWriter,
    OfflineDataset,
    Provenance,
    load_dataset,
    read_episodes,
    read_extras,
    read_info,
    read_own,
)
from d3rlpy_distill.data.mixture import mix
from d3rlpy_distill.data.transitions import return_to_go
from d3rlpy_distill.errors import DatasetFormatError, OutputExistsError
from d3rlpy_distill.files import claimed, write_seal
from d3rlpy_distill.methods import Distilled
from procgen_datasets import CollectConfig, collect, get_procgen, get_recipe, list_recipes
from procgen_datasets.expert import bundled_experts

PROVENANCE = Provenance("collected", "procgen/starpilot", 15, "a test", {"seed": 0})


def frames(length: int, seed: int = 0) -> EpisodeData:
    rng = np.random.default_rng(seed)
    return EpisodeData(
        rng.integers(0, 256, (length, 3, 64, 64)).astype(np.uint8),
        rng.integers(0, 15, length).astype(np.int32),
        rng.random(length).astype(np.float32),
        terminated=bool(seed % 2),
    )


def test_stock_d3rlpy_loads_what_we_write(starpilot_file: Path, starpilot: ReplayBuffer) -> None:
    with starpilot_file.open("rb") as file:
        stock = load(Episode, file)
    assert len(stock) == len(starpilot.episodes) == 6
    for theirs, ours in zip(stock, starpilot.episodes, strict=True):
        np.testing.assert_array_equal(theirs.observations, ours.observations)
        np.testing.assert_array_equal(theirs.actions, ours.actions)
        np.testing.assert_array_equal(theirs.rewards, ours.rewards)
        assert theirs.terminated == ours.terminated
    with starpilot_file.open("rb") as file:
        assert ReplayBuffer.load(file, InfiniteBuffer()).transition_count == starpilot.transition_count


@pytest.mark.parametrize("length", [1, 5, 6, 255, 256, 257, 700])
def test_any_length_survives_a_round_trip(tmp_path: Path, length: int) -> None:
    # d3rlpy keeps no episode without a transition, so an episode of one step has to be terminal
    written = [frames(length, seed) for seed in ((1, 3) if length == 1 else (1, 2))]
    with EpisodeWriter(tmp_path / "x.h5", PROVENANCE) as writer:
        for episode in written:
            writer.write(episode)
    buffer, info = load_dataset(tmp_path / "x.h5")
    assert info.action_size == buffer.dataset_info.action_size == 15
    for episode, back in zip(written, buffer.episodes, strict=True):
        np.testing.assert_array_equal(episode.observations, back.observations)
        np.testing.assert_array_equal(episode.actions, back.actions[:, 0])
        assert episode.terminated == back.terminated


def test_float_and_vector_observations_survive(tmp_path: Path) -> None:
    for shape in ((2, 3, 8, 8), (4, 5)):
        obs = np.random.default_rng(0).random(shape).astype(np.float32)
        data = EpisodeData(obs, np.zeros(len(obs), np.int32), np.ones(len(obs), np.float32), True)
        path = tmp_path / f"{len(shape)}.h5"
        with EpisodeWriter(path, PROVENANCE) as writer:
            writer.write(data)
        np.testing.assert_array_equal(load_dataset(path)[0].episodes[0].observations, obs)


def test_continuous_actions_survive(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    written = [
        EpisodeData(
            rng.random((length, 5)).astype(np.float32),
            rng.normal(size=(length, 2)).astype(np.float32),
            rng.random(length).astype(np.float32),
            terminated,
        )
        for length, terminated in ((4, True), (6, False))
    ]
    path = tmp_path / "x.h5"
    with EpisodeWriter(path, Provenance("collected", "gym/Any-v1", 2, "a test", {})) as writer:
        for episode in written:
            writer.write(episode)
    buffer, info = load_dataset(path)
    assert buffer.dataset_info.action_space == ActionSpace.CONTINUOUS and info.action_size == 2
    for episode, back, read in zip(written, buffer.episodes, read_episodes(path), strict=True):
        np.testing.assert_array_equal(episode.actions, back.actions)
        assert read.digest() == episode.digest() and back.terminated == episode.terminated
    with path.open("rb") as file:
        assert ReplayBuffer.load(file, InfiniteBuffer()).dataset_info.action_size == 2
    with (
        pytest.raises(ValueError, match="actions of 2 dimensions; expected 3"),
        EpisodeWriter(tmp_path / "y.h5", Provenance("collected", None, 3, "a test", {})) as writer,
    ):
        writer.write(written[0])


def dump(buffer: ReplayBuffer, path: Path) -> Path:
    """Writes a file as d3rlpy itself does."""
    with path.open("w+b") as file:
        buffer.dump(file)
    return path


def test_a_dump_of_d3rlpy_loads_too(tmp_path: Path) -> None:
    """Its number of actions is what d3rlpy infers, the largest and one more, unless another is given."""
    buffer = make_buffer([5, 7], shape=(3, 64, 64), action_size=15)
    largest = max(int(episode.actions.max()) for episode in buffer.episodes)
    assert largest < 14
    path = dump(buffer, tmp_path / "dump.h5")
    loaded, info = load_dataset(path)
    assert info.provenance is None and loaded.transition_count == 12
    assert info.action_size == loaded.dataset_info.action_size == largest + 1
    given, about = load_dataset(path, action_size=15)
    assert about.action_size == given.dataset_info.action_size == 15
    assert OfflineDataset.load(path, action_size=15).action_size == 15
    with pytest.raises(DatasetFormatError, match=rf"action {largest}: expected 0 to {largest - 1}"):
        load_dataset(path, action_size=largest)
    dataset = OfflineDataset.load(path, task="procgen/starpilot")
    assert dataset.task == "procgen/starpilot" and dataset.behaviour is None and dataset.provenance is None


def test_a_dump_with_continuous_actions_loads_too(tmp_path: Path) -> None:
    actions = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    episode = Episode(np.zeros((6, 4), np.float32), actions, np.ones((6, 1), np.float32), True)
    buffer, info = load_dataset(dump(ReplayBuffer(InfiniteBuffer(), episodes=[episode]), tmp_path / "dump.h5"))
    assert info.action_size == 3 and buffer.dataset_info.action_space == ActionSpace.CONTINUOUS
    np.testing.assert_array_equal(buffer.episodes[0].actions, actions)


def test_our_own_files_say_their_number_of_actions(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with EpisodeWriter(path, PROVENANCE) as writer:
        writer.write(dataclasses.replace(frames(3), actions=np.zeros(3, np.int32)))
    assert load_dataset(path)[1].action_size == 15
    assert load_dataset(path, action_size=4)[1].action_size == 15  # the file knows better


def as_of_0_1(path: Path, game: str) -> Path:
    """Rewrites a file's attributes as version 0.1 wrote them: a game instead of a task."""
    with h5py.File(path, "r+") as file:
        del file.attrs["task"]
        file.attrs["game"] = game
        file.attrs["format"] = "d3rlpy-distill 1"
    unseal(path)
    return path


@pytest.mark.parametrize(
    ("game", "settings", "task"),
    [
        ("bigfish", {"environment": "procgen:bigfish", "seed": 0}, "procgen/bigfish"),
        ("CartPole-v1", {}, "gym/CartPole-v1"),  # what its script for gymnasium's tasks collected
        ("CartPole-v1", {"preset": "vector", "seed": 0}, "gym/CartPole-v1"),  # and distilled
    ],
)
def test_files_of_version_0_1_read(tmp_path: Path, game: str, settings: dict[str, object], task: str) -> None:
    path = tmp_path / "old.h5"
    provenance = Provenance("collected", None, 15, "rld-distill collect", settings, {"d3rlpy-distill": "0.1.0"})
    episode = frames(4, seed=1)
    with EpisodeWriter(path, provenance) as writer:
        writer.write(episode)
    info = read_info(as_of_0_1(path, game))
    assert info.provenance == dataclasses.replace(provenance, task=task)
    assert read_own(path, dataclasses.replace(provenance, task=task)).content_sha256 == info.content_sha256
    dataset = OfflineDataset.load(path)
    assert dataset.task == task and dataset.action_size == 15
    np.testing.assert_array_equal(dataset.transitions.observations, episode.observations)
    with pytest.raises(OutputExistsError, match="holds something else"):
        read_own(path, dataclasses.replace(provenance, task=task, settings={"other": 1}))
    with pytest.raises(OutputExistsError, match="holds something else"):
        read_own(path, dataclasses.replace(provenance, task="gym/Acrobot-v1"))


def test_a_dataset_survives_saving(tmp_path: Path, starpilot_dataset: OfflineDataset) -> None:
    path = tmp_path / "again.h5"
    starpilot_dataset.save(path)
    again = OfflineDataset.load(path)
    assert again.sha256 == starpilot_dataset.sha256 and again.provenance == starpilot_dataset.provenance
    assert again.behaviour is not None and starpilot_dataset.behaviour is not None
    np.testing.assert_array_equal(again.behaviour, starpilot_dataset.behaviour)
    unknown = OfflineDataset(make_buffer([5, 7]), task="gym/Any-v1")
    unknown.save(tmp_path / "unknown.h5", command="mine")
    loaded = OfflineDataset.load(tmp_path / "unknown.h5")
    assert (loaded.task, loaded.action_size, loaded.sha256) == ("gym/Any-v1", 4, unknown.sha256)
    assert loaded.provenance is not None and loaded.provenance.kind == "imported"
    with pytest.raises(OutputExistsError):
        starpilot_dataset.save(path)


def test_discrete_actions_that_a_buffer_holds_as_floats_are_saved_as_integers(tmp_path: Path) -> None:
    """As d3rlpy has it: whole numbers are discrete actions, whatever their type."""
    actions = np.array([[0.0], [2.0], [1.0]], np.float32)
    episode = Episode(np.zeros((3, 4), np.float32), actions, np.ones((3, 1), np.float32), True)
    dataset = OfflineDataset(ReplayBuffer(InfiniteBuffer(), episodes=[episode]))
    assert dataset.discrete and dataset.action_size == 3
    dataset.save(tmp_path / "x.h5")
    loaded = OfflineDataset.load(tmp_path / "x.h5")
    assert loaded.discrete and loaded.sha256 == dataset.sha256 and loaded.transitions.actions.tolist() == [0, 2, 1]


def test_the_best_episodes_have_the_kind_of_actions_of_all(rng: np.random.Generator) -> None:
    """Continuous actions that happen to be whole numbers in some episodes stay continuous there."""
    episodes = [
        Episode(np.zeros((3, 4), np.float32), actions.astype(np.float32), np.full((3, 1), i, np.float32), True)
        for i, actions in enumerate((rng.normal(size=(3, 2)), np.ones((3, 2))))
    ]
    dataset = OfflineDataset(ReplayBuffer(InfiniteBuffer(), episodes=episodes))
    best = dataset.replay_buffer(10)
    assert not dataset.discrete and best.episodes == [episodes[1]]
    assert best.dataset_info.action_space == ActionSpace.CONTINUOUS and best.dataset_info.action_size == 2


def test_file_is_at_most_a_quarter_of_a_dump(
    tmp_path: Path, starpilot_file: Path, starpilot: ReplayBuffer
) -> None:
    assert starpilot_file.stat().st_size * 4 <= dump(starpilot, tmp_path / "dump.h5").stat().st_size


def test_provenance_and_extras(starpilot_file: Path, starpilot: ReplayBuffer) -> None:
    info = read_info(starpilot_file)
    assert info.provenance is not None and info.provenance.task == "procgen/starpilot"
    settings = info.provenance.settings
    assert settings["expert_sha256"] and settings["levels"] == {"start": 0, "num": 200} and settings["seed"] == 3
    assert "procgen" in settings["environment_build"] and info.provenance.packages["d3rlpy"] == "2.8.1"
    episodes, steps = read_extras(starpilot_file, "episodes"), read_extras(starpilot_file, "steps")
    lengths = [len(e) for e in starpilot.episodes]
    assert episodes["length"].tolist() == lengths and set(episodes["level_seed"]) <= set(range(200))
    np.testing.assert_allclose(episodes["return"], [e.compute_return() for e in starpilot.episodes])
    assert steps["action_probabilities"].shape == (sum(lengths), 15)
    np.testing.assert_allclose(steps["action_probabilities"].sum(1), 1, atol=1e-5)
    assert info.action_histogram is not None and sum(info.action_histogram) == sum(lengths)
    start = 0
    for episode in starpilot.episodes:
        to_go = [sum(float(r) for r in episode.rewards[t:, 0]) for t in range(len(episode))]
        np.testing.assert_allclose(steps["return_to_go"][start : start + len(episode)], to_go, rtol=1e-5)
        start += len(episode)


def test_return_to_go_by_hand() -> None:
    assert return_to_go(np.array([1.0, 0.0, 2.0, -1.0], np.float32)).tolist() == [2.0, 1.0, 1.0, -1.0]


def test_collecting_twice_gives_the_same_content(tmp_path: Path, starpilot_file: Path) -> None:
    config = CollectConfig("starpilot", expert="starpilot@1", episodes=6, seed=3)
    again = collect(config, tmp_path / "again.h5")
    assert again.content_sha256 == read_info(starpilot_file).content_sha256
    before = (tmp_path / "again.h5").stat().st_mtime_ns
    collect(config, tmp_path / "again.h5")
    assert (tmp_path / "again.h5").stat().st_mtime_ns == before
    with pytest.raises(OutputExistsError, match="holds something else"):
        collect(CollectConfig("starpilot", episodes=5), tmp_path / "again.h5")


def test_an_interrupted_collection_goes_on_after_its_last_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["procgen_datasets.collect"], "BLOCK_EPISODES", 2)
    config = CollectConfig("starpilot", "random", episodes=10, num_slots=2)
    whole = collect(config, tmp_path / "whole.h5")
    assert whole.num_episodes == 10 and not (tmp_path / "whole.h5.parts").exists()
    played = []

    def stop(episode: EpisodeData) -> None:
        played.append(episode)
        if len(played) == 6:
            raise KeyboardInterrupt

    path = tmp_path / "x.h5"
    with pytest.raises(KeyboardInterrupt):
        collect(config, path, on_episode=stop)
    assert [p.name for p in tmp_path.iterdir() if "x.h5" in p.name] == ["x.h5.parts"]
    kept = sorted((tmp_path / "x.h5.parts").iterdir())
    assert [p.name for p in kept] == ["0.h5", "collection.json"]
    before = kept[0].stat().st_mtime_ns
    with pytest.raises(OutputExistsError, match="interrupted"):
        collect(dataclasses.replace(config, seed=1), path)
    seen = []

    def look(episode: EpisodeData) -> None:
        seen.append(episode)
        assert kept[0].stat().st_mtime_ns == before

    assert collect(config, path, on_episode=look).content_sha256 == whole.content_sha256
    assert len(seen) == 10 and not (tmp_path / "x.h5.parts").exists()
    for group in ("episodes", "steps"):
        ours, theirs = read_extras(path, group), read_extras(tmp_path / "whole.h5", group)
        assert all(np.array_equal(ours[key], theirs[key]) for key in theirs)
    assert len(set(read_extras(path, "episodes")["level_seed"])) > 5


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), EpisodeWriter(tmp_path / "x.h5", PROVENANCE) as writer:
        writer.write(frames(10))
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_actions_outside_the_set_are_refused(tmp_path: Path) -> None:
    bad = EpisodeData(frames(2).observations, np.array([3, 15], np.int32), np.zeros(2, np.float32), True)
    with (
        pytest.raises(ValueError, match="expected 0 to 14"),
        EpisodeWriter(tmp_path / "x.h5", PROVENANCE) as writer,
    ):
        writer.write(bad)
    assert list(tmp_path.iterdir()) == []


def test_existing_output_is_kept(tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_text("mine")
    with pytest.raises(OutputExistsError):
        EpisodeWriter(tmp_path / "x.h5", PROVENANCE)
    assert (tmp_path / "x.h5").read_text() == "mine"


def _write_for_ever(path: Path) -> None:
    with EpisodeWriter(path, PROVENANCE) as writer:
        for i in range(10**6):
            writer.write(frames(50, i))


def test_a_killed_writer_leaves_no_dataset(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    process = multiprocessing.get_context("spawn").Process(target=_write_for_ever, args=(path,))
    process.start()
    started, partials = time.monotonic(), list[Path]()
    while not (partials and partials[0].stat().st_size > 10**6):
        assert process.is_alive() and time.monotonic() < started + 60
        process.join(0.05)
        partials = list(tmp_path.glob(".x.h5.*.partial"))
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert not path.exists()
    with pytest.raises(DatasetFormatError):
        load_dataset(partials[0])
    with claimed(path), EpisodeWriter(path, PROVENANCE) as writer:
        writer.write(frames(3))
    assert load_dataset(path)[0].transition_count >= 2 and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("keep", [0, 100, 0.3, 0.9, -1])
def test_truncated_files_are_refused(tmp_path: Path, starpilot_file: Path, keep: float) -> None:
    data = starpilot_file.read_bytes()
    size = int(keep * len(data)) if 0 < keep < 1 else int(keep) % len(data)
    (tmp_path / "cut.h5").write_bytes(data[:size])
    with pytest.raises(DatasetFormatError, match=r"cut\.h5"):
        load_dataset(tmp_path / "cut.h5")


def test_damaged_and_foreign_files_are_refused(tmp_path: Path, starpilot_file: Path) -> None:
    data = bytearray(starpilot_file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4096] = bytes(4096)
    (tmp_path / "hit.h5").write_bytes(data)
    with pytest.raises(DatasetFormatError):
        load_dataset(tmp_path / "hit.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["observations"] = np.zeros(3)
    for name, what in (
        ("text.h5", "cannot be read"),
        ("foreign.h5", "columns"),
        ("absent.h5", "does not exist"),
    ):
        with pytest.raises(DatasetFormatError, match=what):
            load_dataset(tmp_path / name)


def _edit(source: Path, target: Path, key: str, value: object, *, seal: bool = True) -> Path:
    target.write_bytes(source.read_bytes())
    with h5py.File(target, "r+") as file:
        del file[key]
        file[key] = value
    if seal:
        write_seal(target)
    return target


def test_wrong_content_is_refused(tmp_path: Path) -> None:
    good = tmp_path / "good.h5"
    with EpisodeWriter(good, PROVENANCE) as writer:
        writer.write(frames(4))
    zeros = np.zeros((4, 1), np.int32)
    cases = {
        "action 15: expected 0 to 14": ("actions_0", zeros + 15),
        "action -1": ("actions_0", zeros - 1),
        "discrete": ("actions_0", zeros.astype(np.float32)),
        "actions (3, 1)": ("actions_0", zeros[:3]),
        "NaN or infinite rewards": ("rewards_0", np.full((4, 1), np.nan, np.float32)),
        "NaN or infinite values in the observations": ("observations_0", np.full((4, 3, 64, 64), np.nan)),
        "shape (3, 32, 32): expected (3, 64, 64)": ("observations_0", np.zeros((4, 3, 32, 32), np.uint8)),
    }
    for i, (message, (key, value)) in enumerate(cases.items()):
        path = _edit(good, tmp_path / f"{i}.h5", key, value)
        with pytest.raises(DatasetFormatError) as caught:
            load_dataset(path, observation_shape=(3, 64, 64))
        assert message in str(caught.value)


def test_changed_content_fails_verification(tmp_path: Path, starpilot_file: Path) -> None:
    with h5py.File(starpilot_file) as file:
        rewards = file["rewards_0"][()] + 1
    changed = _edit(starpilot_file, tmp_path / "x.h5", "rewards_0", rewards, seal=False)
    with pytest.raises(DatasetFormatError, match=r"it has \d+ bytes, and had"):
        load_dataset(changed)
    with h5py.File(starpilot_file, "r") as source, h5py.File(tmp_path / "old.h5", "w") as target:  # unsealed
        for key in source:
            source.copy(key, target)
        target.attrs.update({**source.attrs, "format": "d3rlpy-distill 2"})
    load_dataset(tmp_path / "old.h5")
    with pytest.raises(DatasetFormatError, match="was changed"):
        load_dataset(_edit(tmp_path / "old.h5", tmp_path / "changed.h5", "rewards_0", rewards, seal=False))


def test_a_mixture_has_as_many_transitions_of_each(tmp_path: Path) -> None:
    """Against the rule, episode by episode: the smaller part whole, the shortest prefix of the other."""
    parts = [tmp_path / "expert.h5", tmp_path / "other.h5"]
    collect(CollectConfig("starpilot", "random", episodes=3, seed=1), parts[0])
    collect(CollectConfig("starpilot", "random", episodes=9, seed=2), parts[1])
    infos = [read_info(part) for part in parts]
    small, large = sorted((0, 1), key=lambda i: infos[i].num_transitions or 0)
    out = tmp_path / "mixed.h5"
    info = mix(parts, out, command="test")
    sources = [list(read_episodes(part)) for part in parts]
    taken = [0, 0]
    taken[small] = len(sources[small])
    total = 0
    while total < (infos[small].num_transitions or 0):
        total += len(sources[large][taken[large]].actions)
        taken[large] += 1
    expected = sources[0][: taken[0]] + sources[1][: taken[1]]
    mixed = list(read_episodes(out))
    assert [e.digest() for e in mixed] == [e.digest() for e in expected]
    assert [e.info for e in mixed] == [e.info for e in expected]
    assert info.provenance is not None and info.provenance.kind == "mixed"
    assert [m["episodes"] for m in info.provenance.settings["mixed"]] == taken
    assert mix(parts, out).content_sha256 == info.content_sha256
    with pytest.raises(OutputExistsError):
        mix(parts[::-1], out)
    with pytest.raises(DatasetFormatError, match="two or more collected datasets of one task"):
        mix(parts[:1], tmp_path / "x.h5")


def test_every_recipe_names_an_expert_or_recipes_that_exist() -> None:
    for name in list_recipes():
        recipe = get_recipe(name)
        assert recipe.description
        if recipe.distilled_from is not None:
            source = get_recipe(recipe.distilled_from).collect
            assert source is not None and source.game == name.split("-")[0]
        elif recipe.collect is None:
            assert [get_recipe(part).collect.game for part in recipe.mix] == [name.split("-")[0]] * 2  # type: ignore[union-attr]
        else:
            assert (recipe.collect.expert or recipe.collect.game) in bundled_experts()
            assert name.split("-")[0] == recipe.collect.game


@pytest.mark.parametrize("kind", ["distilled", "soft", "views"])
@pytest.mark.parametrize("game", ["starpilot", "bigfish", "jumper"])
def test_a_distilled_dataset_ships_with_the_package(game: str, kind: str, tmp_path: Path) -> None:
    name = f"{game}-{kind}-150"
    buffer, env = get_procgen(name, data_directory=tmp_path)
    assert buffer.transition_count == buffer.size() == 150
    assert buffer.dataset_info.action_size == 15
    assert env.observation_space.shape == (3, 64, 64)
    path = tmp_path / f"{name}.h5"
    info = read_info(path)
    assert info.provenance is not None and info.provenance.task == f"procgen/{game}"
    assert info.provenance.settings["preset"] == "default"
    before = path.read_bytes()
    get_procgen(name, data_directory=tmp_path)
    assert path.read_bytes() == before
    distilled = Distilled.load(path)
    assert distilled.task == f"procgen/{game}" and len(distilled) == len(distilled.sources) == 150  # type: ignore[arg-type]
    assert (distilled.views is not None) == (kind == "views")
    if kind in ("soft", "views"):
        assert distilled.teachers is not None and len(distilled.teachers) == {"soft": 3, "views": 2}[kind]
        labels = distilled.samples.probabilities
        assert labels is not None and labels.shape == (150, 15)
        np.testing.assert_allclose(labels.sum(1), 1, atol=1e-5)
        np.testing.assert_allclose(distilled.teachers.label(distilled.samples.observations), labels, atol=0.01)
    else:
        assert not distilled.soft and distilled.teachers is None and distilled.initial is not None
    other = {"starpilot": "jumper", "bigfish": "starpilot", "jumper": "bigfish"}[game]
    path.rename(tmp_path / f"{other}-{kind}-150.h5")
    with pytest.raises(OutputExistsError, match=f"is not the {other}-{kind}-150 of this version"):
        get_procgen(f"{other}-{kind}-150", data_directory=tmp_path)
