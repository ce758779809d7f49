"""Minari in both directions: what its own loader reads is what we have, and the other way round."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Space
from PIL import Image

from buffers import make_buffer, vectors
from commands import fails, fails_dry_too, planned, run
from d3rlpy_distill import OfflineDataset, distill
from d3rlpy_distill.data import read_episodes, read_extras, read_info
from d3rlpy_distill.errors import DatasetFormatError
from d3rlpy_distill.exchange import export_minari, import_minari, minari_export
from d3rlpy_distill.exchange.minari_spaces import read_space, space_json
from d3rlpy_distill.tasks import CollectSettings, make_task

minari = pytest.importorskip("minari")
from minari.data_collector import EpisodeBuffer  # noqa: E402

LENGTHS = (4, 3, 6)
SEEDS = (11, None, 13)
ENDS = ((True, False), (False, True), (True, True))  # the last one reaches its goal at the limit
SPACES: dict[str, tuple[Space[Any], Space[Any]]] = {
    "vectors, discrete": (Box(-2, 3, (5,), np.float32), Discrete(3, start=1)),
    "doubles, continuous": (Box(-np.inf, np.inf, (4,), np.float64), Box(-1.5, 2, (2,), np.float32)),
    "matrices, matrices": (Box(0, 1, (2, 3), np.float32), Box(-1, 1, (2, 2), np.float64)),
    "states, discrete": (Discrete(6, start=2), Discrete(4)),
    "bytes, discrete": (Box(0, 255, (7,), np.uint8), Discrete(2)),
    "frames, discrete": (Box(0, 255, (3, 40, 48), np.uint8), Discrete(15)),
    "pictures, discrete": (Box(0, 255, (40, 48, 3), np.uint8), Discrete(2)),
    "pictures, continuous": (Box(0, 255, (40, 48, 3), np.uint8), Box(-1, 1, (3,), np.float32)),
    "grey, discrete": (Box(0, 255, (40, 48), np.uint8), Discrete(2)),
    "floats, discrete": (Box(0, 1, (16, 16, 3), np.float32), Discrete(2)),
}
PACKED = ("pictures, discrete", "pictures, continuous", "grey, discrete")  # as JPEG


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Minari keeps its datasets."""
    path = tmp_path / "datasets"
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(path))
    return path


def make(name: str = "me/made-v0", kind: str = "vectors, discrete", **more: Any) -> Any:
    """Three episodes, as Minari itself writes them."""
    observations, actions = SPACES[kind]
    observations.seed(0), actions.seed(0)
    rng = np.random.default_rng(0)
    buffers = []
    for length, seed, (terminated, truncated) in zip(LENGTHS, SEEDS, ENDS, strict=True):
        ends = np.zeros((2, length), np.bool_)
        ends[:, -1] = terminated, truncated
        seen = np.stack([observations.sample() for _ in range(length + 1)])
        if seen.dtype == np.uint8 and seen.ndim > 2:  # what JPEG keeps: no noise
            seen = np.broadcast_to(rng.integers(0, 256, (length + 1, *[1] * (seen.ndim - 1))), seen.shape)
            seen = np.ascontiguousarray(seen).astype(np.uint8)
        buffers.append(
            EpisodeBuffer(
                seed=seed,
                observations=list(seen) if seen.ndim == 2 else seen,
                actions=np.stack([actions.sample() for _ in range(length)]),
                rewards=rng.normal(size=length).astype(np.float32).astype(float),
                terminations=ends[0],
                truncations=ends[1],
                infos={},
            )
        )
    return minari.create_dataset_from_buffers(
        name, buffers, observation_space=observations, action_space=actions, **more
    )


def flags(episode: Any) -> tuple[bool, bool]:
    return bool(episode.terminations[-1]), bool(episode.truncations[-1])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", SPACES)
def test_there_and_back_everything_is_as_it_was(kind: str, root: Path, tmp_path: Path) -> None:
    theirs = make(kind=kind)
    info = import_minari("me/made-v0", tmp_path / "mine.h5")
    assert (info.num_episodes, info.num_transitions) == (3, sum(LENGTHS))
    dataset = OfflineDataset.load(tmp_path / "mine.h5")
    assert dataset.discrete == isinstance(theirs.action_space, Discrete)
    for mine, other, ends in zip(dataset.buffer.episodes, theirs, ENDS, strict=True):
        assert mine.terminated == ends[0] and len(mine) == len(other)
        np.testing.assert_allclose(mine.rewards[:, 0], other.rewards, rtol=1e-6)
        if kind == "states, discrete":
            np.testing.assert_array_equal(mine.observations.argmax(1) + 2, other.observations[:-1])
        elif kind in ("pictures, discrete", "pictures, continuous", "floats, discrete"):
            np.testing.assert_array_equal(mine.observations.transpose(0, 2, 3, 1), other.observations[:-1])
        else:
            flat = np.asarray(other.observations)[:-1].reshape(mine.observations.shape)
            np.testing.assert_allclose(mine.observations, flat, rtol=1e-6)
        start = int(getattr(theirs.action_space, "start", 0))
        np.testing.assert_allclose(mine.actions.reshape(-1), other.actions.reshape(-1) - start, rtol=1e-6)
    beside = read_extras(tmp_path / "mine.h5", "episodes")
    assert beside["seed"].tolist() == [11, -1, 13] and beside["timeout"].tolist() == [False, True, True]
    assert len(distill(dataset, "random", n_samples=4)) == 4

    made = export_minari(tmp_path / "mine.h5", "me/again-v3")
    assert (made.path, made.steps) == (root / "me" / "again-v3", sum(LENGTHS))
    assert made.jpeg == (kind in PACKED) and not made.repeated
    again = minari.load_dataset("me/again-v3")
    assert again.observation_space == theirs.observation_space and again.action_space == theirs.action_space
    for mine, other, ends in zip(again, theirs, ENDS, strict=True):
        assert flags(mine) == flags(other) == ends
        np.testing.assert_allclose(mine.actions, other.actions, rtol=1e-6)
        np.testing.assert_allclose(mine.rewards, other.rewards, rtol=1e-6)
        if kind in PACKED:  # twice packed
            assert np.abs(mine.observations.astype(int) - other.observations).max() <= 2
        else:
            np.testing.assert_allclose(mine.observations, other.observations, rtol=1e-6)
        assert mine.observations.dtype == np.asarray(other.observations).dtype
    seeds = [one.get("seed") for one in again.storage.get_episode_metadata(range(3))]
    assert seeds == list(SEEDS)


def test_what_we_collect_is_theirs_with_seeds_and_the_environment(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "pendulum.h5"
    make_task("gym/Pendulum-v1").collect(CollectSettings(policy="random", episodes=2), file)
    result = run("export", "minari", file, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["id"], told["episodes"], told["steps"]) == ("pendulum-v0", 2, 400)
    assert told["last_observations_repeated"] and not told["jpeg"]
    theirs = minari.load_dataset("pendulum-v0")
    assert theirs.action_space == Box(-2, 2, (1,), np.float32)
    assert theirs.env_spec.id == "Pendulum-v1" and theirs.recover_environment().spec.id == "Pendulum-v1"
    seeds = read_extras(file, "episodes")["seed"].tolist()
    assert [one["seed"] for one in theirs.storage.get_episode_metadata(range(2))] == seeds
    for mine, other in zip(OfflineDataset.load(file).buffer.episodes, theirs, strict=True):
        assert flags(other) == (False, True)
        np.testing.assert_array_equal(other.observations[:-1], mine.observations)
        np.testing.assert_array_equal(other.observations[-1], mine.observations[-1])
    # by its directory, elsewhere, where no metadata of Minari's own are needed
    back = import_minari(root / "pendulum-v0", tmp_path / "back.h5")
    assert back.provenance is not None and back.provenance.task == "gym/Pendulum-v1"
    ours = [one.digest() for one in read_episodes(file)]
    assert [one.digest() for one in read_episodes(tmp_path / "back.h5")] == ours


def test_frames_and_distilled_sets_are_kept_to_the_last_bit(
    starpilot_file: Path, distilled_file: Path, root: Path
) -> None:
    for file, count in ((starpilot_file, 6), (distilled_file, 20)):
        made = export_minari(file)
        assert not made.jpeg
        theirs = minari.load_dataset(made.dataset_id)
        assert theirs.total_episodes == count and theirs.observation_space.shape == (3, 64, 64)
        assert theirs.env_spec is None  # gymnasium has no such environment
        for mine, other in zip(OfflineDataset.load(file).buffer.episodes, theirs, strict=True):
            np.testing.assert_array_equal(other.observations[:-1], mine.observations)
            assert other.terminations[-1] == mine.terminated
        about = theirs.storage.metadata["d3rlpy_distill"]
        assert about["task"] == "procgen/starpilot" and about["last_observations"] == "repeated"


def test_d3rlpys_own_files_become_minaris(tmp_path: Path) -> None:
    for continuous in (True, False):
        file = tmp_path / f"dumped-{continuous}.h5"
        with file.open("w+b") as opened:
            vectors(continuous, terminated=False).dump(opened)
        theirs = minari.load_dataset(export_minari(file, f"aa/b/dumped-{continuous}-v0").dataset_id)
        assert isinstance(theirs.action_space, Box if continuous else Discrete)
        assert theirs.total_steps == 33 and all(flags(one) == (False, True) for one in theirs)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_file_alone_is_enough(tmp_path: Path) -> None:
    """Without metadata: spaces have no bounds, and there are as many actions as occur."""
    for kind in ("vectors, discrete", "doubles, continuous", "pictures, discrete", "bytes, discrete"):
        theirs = make(f"me/{kind.split(',')[0]}-v0", kind=kind)
        alone = tmp_path / f"{kind.split(',')[0]}.hdf5"
        alone.write_bytes((theirs.storage.data_path / "main_data.hdf5").read_bytes())
        out = tmp_path / f"{alone.stem}.h5"
        result = run("import", "minari", alone, "--out", out, "--json")
        assert result.exit_code == 0, result.output
        dataset = OfflineDataset.load(out)
        assert dataset.task is None and len(dataset.buffer.episodes) == 3
        for mine, other in zip(dataset.buffer.episodes, theirs, strict=True):
            flat = np.asarray(other.observations)[:-1]
            seen = mine.observations.transpose(0, 2, 3, 1) if "pictures" in kind else mine.observations
            np.testing.assert_allclose(seen, flat, rtol=1e-6)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("nested", [True, False])
def test_observations_and_goals_are_joined(nested: bool, tmp_path: Path) -> None:
    """As of mazes and kitchens; goals of several tasks in the order of their names. Other parts are left out."""
    rng = np.random.default_rng(0)
    parts = {"observation": rng.normal(size=(4, 5)), "achieved_goal": rng.normal(size=(4, 2))}
    goals = {"kettle": rng.normal(size=(4, 2)), "door": rng.normal(size=(4, 1))}
    boxes = {name: Box(-np.inf, np.inf, one.shape[1:], np.float64) for name, one in {**parts, **goals}.items()}
    goal_space = Dict({name: boxes[name] for name in goals}) if nested else boxes["kettle"]
    space = Dict({**{name: boxes[name] for name in parts}, "desired_goal": goal_space})
    ends = np.array([False, False, True])
    buffer = EpisodeBuffer(
        observations={**parts, "desired_goal": goals if nested else goals["kettle"]},
        actions=np.array([0, 1, 1]),
        rewards=np.ones(3),
        terminations=ends,
        truncations=~ends & False,
        infos={},
    )
    theirs = minari.create_dataset_from_buffers(
        "me/goal-v0", [buffer], observation_space=space, action_space=Discrete(2)
    )
    import_minari(theirs.storage.data_path, tmp_path / "x.h5")
    wanted = [parts["observation"], *([goals["door"], goals["kettle"]] if nested else [goals["kettle"]])]
    (episode,) = OfflineDataset.load(tmp_path / "x.h5").buffer.episodes
    np.testing.assert_allclose(episode.observations, np.concatenate(wanted, axis=1)[:-1], rtol=1e-6)
    back = minari.load_dataset(export_minari(tmp_path / "x.h5", "me/joined-v0").dataset_id)
    assert back.observation_space.shape == (8 if nested else 7,)
    np.testing.assert_allclose(back[0].observations, np.concatenate(wanted, axis=1), rtol=1e-6)
    with h5py.File(theirs.storage.data_path / "main_data.hdf5", "r+") as file:
        del file["episode_0/observations/observation"]
        file["episode_0/observations/observation"] = np.zeros((4, 6))
    refused("observations of .* numbers: expected", theirs.storage.data_path, tmp_path)


def test_an_environment_that_a_dataset_names_is_never_made(spoilt: Spoil, tmp_path: Path) -> None:
    """Its description is kept as text. Minari itself makes it where spaces are missing."""
    trap = tmp_path / "trap"
    import_minari(spoilt(env_spec=_trap(trap)), tmp_path / "a.h5")
    without = spoilt(env_spec=_trap(trap), observation_space=None, action_space=None)
    import_minari(without, tmp_path / "b.h5")
    export_minari(tmp_path / "a.h5", "me/trap-v0")
    assert not trap.exists()
    for name in "ab":
        assert OfflineDataset.load(tmp_path / f"{name}.h5").task == "gym/Trap-v0"


def _trap(path: Path) -> str:
    kwargs = {"name": str(path)}
    return json.dumps({"id": "Trap-v0", "entry_point": "os:mkdir", "kwargs": kwargs, "additional_wrappers": []})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset to damage: its directory of data."""
    path = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch, pytest.warns(UserWarning):
        patch.setenv("MINARI_DATASETS_PATH", str(path))
        make()
        make("me/picture-v0", kind="pictures, discrete")
    return path / "me"


Spoil = Callable[..., Path]


@pytest.fixture
def spoilt(made: Path, tmp_path: Path) -> Spoil:
    """Copies a dataset whose metadata then say something else; None leaves a key out."""

    def copy(name: str = "made-v0", **metadata: object) -> Path:
        source, to = made / name / "data", tmp_path / f"spoilt-{len(list(tmp_path.iterdir()))}"
        to.mkdir()
        (to / "main_data.hdf5").write_bytes((source / "main_data.hdf5").read_bytes())
        told = {**json.loads((source / "metadata.json").read_text()), **metadata}
        (to / "metadata.json").write_text(json.dumps({k: v for k, v in told.items() if v is not None}))
        return to

    return copy


def refused(message: str, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "refused.h5"
    with pytest.raises(DatasetFormatError, match=message):
        import_minari(source, out)
    assert not out.exists()
    fails_dry_too(1, "", "import", "minari", source, "--out", out)


def box(shape: list[int], low: object = 0, dtype: str = "float32") -> str:
    return json.dumps({"type": "Box", "dtype": dtype, "shape": shape, "low": low, "high": 1})


def test_metadata_that_do_not_fit_are_refused(spoilt: Spoil, tmp_path: Path) -> None:
    told: dict[str, dict[str, object]] = {
        "a Dict space": {"observation_space": json.dumps({"type": "Dict", "subspaces": {}})},
        "a space that cannot be read": {"observation_space": box([1 << 40])},
        "bounds of shape": {"observation_space": box([5], [0, 0])},
        r"expected numbers \(5, 9\)": {"observation_space": box([9])},
        r"expected numbers \(L, 4\)": {"observation_space": None, "action_space": box([4])},
        "expected Minari's hdf5": {"data_format": "arrow"},
    }
    for message, metadata in told.items():
        refused(message, spoilt(**metadata), tmp_path)
    text = spoilt()
    (text / "metadata.json").write_text("[1, 2")
    refused("damaged", text, tmp_path)
    fails_dry_too(2, "does not exist: expected a directory", "import", "minari", tmp_path / "none")
    fails_dry_too(1, "is no dataset of Minari's", "import", "minari", tmp_path)


def test_arrays_that_are_off_are_refused(spoilt: Spoil, tmp_path: Path, starpilot_file: Path) -> None:
    def spoil(message: str, name: str, value: object, of: str = "made-v0") -> None:
        source = spoilt(of)
        with h5py.File(source / "main_data.hdf5", "r+") as file:
            del file[f"episode_1/{name}"]
            if value is not None:
                file[f"episode_1/{name}"] = value
        refused(message, source, tmp_path)

    spoil("rewards is missing", "rewards", None)
    spoil("expected equally many", "rewards", np.zeros(9))
    spoil("NaN or infinite rewards", "rewards", np.full(3, np.nan))
    spoil("ends before its last step", "terminations", np.array([True, False, False]))
    spoil("expected 0 to 2", "actions", np.array([1, 2, 9]))
    spoil("is a link to elsewhere", "observations", h5py.ExternalLink(str(starpilot_file), "observations_0"))
    spoil("is a link to elsewhere", "rewards", h5py.SoftLink("/episode_0/rewards"))
    spoil("no JPEG", "observations", np.zeros((4, 9), np.uint8), "picture-v0")
    spoil("expected numbers", "observations", np.zeros((4, 40, 48, 2), np.uint8), "picture-v0")
    big = np.asarray(bytearray(_jpeg(300, 300)))
    spoil(r"a frame of \(300, 300\) pixels", "observations", np.stack([big] * 4), "picture-v0")
    source = spoilt()
    with h5py.File(source / "main_data.hdf5", "r+") as file:
        file["episode_2"].attrs["seed"] = "of time"
    refused("seed 'of time'", source, tmp_path)
    with (source / "main_data.hdf5").open("r+b") as opened:
        opened.truncate(3000)
    refused("damaged", source, tmp_path)


def _jpeg(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, "JPEG")
    return out.getvalue()


def test_what_is_there_is_kept_and_what_fails_leaves_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x.h5"
    OfflineDataset(vectors(False)).save(file)
    would = planned("export", "minari", file)
    assert would["path"] == str(root / "x-v0") and not root.exists()
    export_minari(file)
    made = sum(one.stat().st_size for one in (root / "x-v0" / "data").iterdir())
    assert would["bytes"] == pytest.approx(made, rel=0.01)  # its id is the same, all episodes were tried
    before = (root / "x-v0" / "data" / "main_data.hdf5").read_bytes()
    fails_dry_too(1, "x-v0 exists already: give another --id", "export", "minari", file)
    fails_dry_too(1, "is a file", "export", "minari", file, "--root", file / "datasets")
    assert (root / "x-v0" / "data" / "main_data.hdf5").read_bytes() == before
    export_minari(file, overwrite=True)

    class Interrupted(BaseException):
        pass

    def stopped(*_: object, **__: object) -> None:
        raise Interrupted

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(minari_export.shutil, "rmtree", stopped)  # while the old one is being removed
        export_minari(file, overwrite=True)
    assert (root / "x-v0" / "data" / "main_data.hdf5").exists()
    for left in root.glob(".x-v0.*.old"):
        shutil.rmtree(left)
    (root / "x-v0" / "mine.txt").touch()
    fails_dry_too(1, "is no dataset of Minari's alone", "export", "minari", file, "--overwrite")
    assert (root / "x-v0" / "mine.txt").exists()
    for name in ("../x", "x", "x-v", "/x-v0", "a/x-v0"):  # Minari takes no namespace of one letter
        fails_dry_too(2, "expected (NAMESPACE/)NAME-vNUMBER", "export", "minari", file, "--id", name)
    # frames of three columns, which Minari 0.5.3 takes for pictures when it writes, and for numbers when it reads
    odd = tmp_path / "odd.h5"
    OfflineDataset(make_buffer([3], shape=(4, 8, 3))).save(odd)
    fails_dry_too(1, "Minari", "export", "minari", odd)
    assert sorted(one.name for one in root.iterdir()) == ["x-v0"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    fails_dry_too(1, "pip install 'd3rlpy-distill[minari]'", "export", "minari", file, "--id", "other-v0")
    fails_dry_too(1, "pip install 'd3rlpy-distill[hub,minari]'", "import", "minari", "me/none-v0")


def test_an_id_that_cannot_be_downloaded_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*name: str, **asked: object) -> None:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(minari, "download_dataset", unreachable)
    monkeypatch.setattr(minari, "list_remote_datasets", unreachable)
    fails_dry_too(
        1, "cannot be downloaded (no route to host)", "import", "minari", "me/none-v0", "--out", tmp_path / "x.h5"
    )


def test_a_dry_run_asks_how_much_would_be_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def there(**asked: object) -> dict[str, dict[str, float]]:
        assert asked == {"prefix": "me/made", "compatible_minari_version": True}
        return {"me/made-v0": {"dataset_size": 2.5}}

    monkeypatch.setattr(minari, "list_remote_datasets", there)
    out = tmp_path / "x.h5"
    would = planned("import", "minari", "me/made-v0", "--out", out)
    assert (would["source_bytes"], would["bytes"], out.exists()) == (2_500_000, None, False)
    fails(1, "there is none of that id", "import", "minari", "me/made-v1", "--out", out, "-n")
    out.write_bytes(b"mine")
    fails(1, "cannot be read", "import", "minari", "me/made-v0", "--out", out, "-n")


@pytest.mark.parametrize("space", [space for pair in SPACES.values() for space in pair], ids=str)
def test_spaces_are_read_as_they_are_written(space: Space[Any]) -> None:
    assert isinstance(space, (Box, Discrete))
    assert read_space(space_json(space), "x") == space
    assert read_space(minari.serialization.serialize_space(space), "x") == space


def test_a_space_of_parts_is_refused() -> None:
    with pytest.raises(DatasetFormatError, match="x: a Dict space: expected a Box or a Discrete"):
        read_space(minari.serialization.serialize_space(Dict({"a": Discrete(2)})), "x")


def test_files_are_named_after_the_dataset(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    alone = tmp_path / "alone.hdf5"
    alone.write_bytes((made / "made-v0" / "data" / "main_data.hdf5").read_bytes())
    root.symlink_to(made.parent)
    for source, name in (
        (made / "made-v0" / "data", "made-v0"),
        (made / "picture-v0" / "data" / "main_data.hdf5", "picture-v0"),
        (alone, "alone"),
        ("me/made-v0", "me-made-v0"),
    ):
        result = run("import", "minari", source)
        assert result.exit_code == 0 and result.stdout.startswith(f"data/{name}.h5: "), result.output


def test_an_import_is_made_once(made: Path, spoilt: Spoil, tmp_path: Path) -> None:
    source, out = spoilt(), tmp_path / "x.h5"
    would = planned("import", "minari", source, "--out", out)
    assert not out.exists()
    first = import_minari(source, out)
    assert would["bytes"] == pytest.approx(out.stat().st_size, rel=0.01)  # all episodes were tried
    assert "nothing would be done" in run("import", "minari", source, "--out", out, "-n").stdout
    assert (
        dataclasses.asdict(import_minari(source, out))
        == dataclasses.asdict(first)
        == dataclasses.asdict(read_info(out))
    )
    fails_dry_too(1, "holds something else", "import", "minari", made / "picture-v0", "--out", out)
