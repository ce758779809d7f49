"""d3rlpy's own datasets, of version 1 and 2, by file and by name: what is written is what d3rlpy itself reads."""

from __future__ import annotations

import dataclasses
import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from d3rlpy.dataset import EpisodeBase, load_v1

from buffers import make_buffer, vectors
from commands import fails_dry_too, planned, run
from d3rlpy_distill import OfflineDataset, distill
from d3rlpy_distill.data import read_info
from d3rlpy_distill.errors import DatasetFormatError, DistillError, OutputExistsError
from d3rlpy_distill.exchange import import_d3rlpy
from d3rlpy_distill.exchange.d3rlpy_names import DOWNLOADS


def write_1(path: Path, *, discrete: bool = True, images: bool = False, seed: int = 0) -> Path:
    """Three episodes, the second one cut off, and two steps of a fourth that never ends: as d3rlpy 1 wrote them."""
    rng = np.random.default_rng(seed)
    ends = [5, 9, 15]
    terminals, episode_terminals = np.zeros(17, np.float32), np.zeros(17, np.float32)
    episode_terminals[[end - 1 for end in ends]] = 1
    terminals[[4, 14]] = 1
    shape = (3, 16, 16) if images else (4,)
    observations = rng.integers(0, 256, (17, *shape)).astype(np.uint8) if images else rng.normal(size=(17, *shape))
    actions = rng.integers(0, 2, 17).astype(np.int32) if discrete else rng.normal(size=(17, 2)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file["observations"], file["actions"] = observations, actions
        file["rewards"] = rng.normal(size=17).astype(np.float32)
        file["terminals"], file["episode_terminals"] = terminals, episode_terminals
        file["discrete_action"], file["version"] = discrete, "1.0"
    return path


def same(ours: EpisodeBase, theirs: EpisodeBase) -> None:
    np.testing.assert_array_equal(
        ours.observations, np.asarray(theirs.observations).astype(ours.observations.dtype)
    )
    np.testing.assert_array_equal(ours.actions, theirs.actions)
    np.testing.assert_array_equal(ours.rewards, theirs.rewards)
    assert ours.terminated == theirs.terminated


@pytest.mark.parametrize("discrete", [True, False])
@pytest.mark.parametrize("images", [True, False])
def test_a_file_of_version_1_gives_what_d3rlpy_reads(discrete: bool, images: bool, tmp_path: Path) -> None:
    source = write_1(tmp_path / "old.h5", discrete=discrete, images=images)
    with pytest.raises(DatasetFormatError, match=r"of d3rlpy 1: turn it .*'rld-distill import d3rlpy .*old\.h5'"):
        OfflineDataset.load(source)
    seen: list[int] = []
    info = import_d3rlpy(source, tmp_path / "new.h5", on_episode=lambda: seen.append(1))
    assert (info.num_episodes, info.action_size, len(seen)) == (3, 2, 3)
    dataset = OfflineDataset.load(tmp_path / "new.h5")
    assert dataset.discrete == discrete and dataset.has_images == images
    with source.open("rb") as file:
        theirs = load_v1(file)
    for mine, other in zip(dataset.buffer.episodes, theirs, strict=True):
        same(mine, other)
    assert dataset.provenance is not None and dataset.provenance.kind == "imported"
    assert dataset.provenance.settings["source"] == "old.h5"
    assert len(distill(dataset, "random", n_samples=5)) == 5


@pytest.mark.parametrize("continuous", [True, False])
def test_a_file_of_version_2_keeps_its_episodes(continuous: bool, tmp_path: Path) -> None:
    buffer, source = vectors(continuous, terminated=False), tmp_path / "dumped.h5"
    with source.open("w+b") as file:
        buffer.dump(file)
    out = tmp_path / "new.h5"
    result = run("import", "d3rlpy", source, "--task", "gym/Acrobot-v1", "--out", out, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    dataset = OfflineDataset.load(out)
    assert (told["episodes"], told["content_sha256"], dataset.task) == (6, dataset.sha256, "gym/Acrobot-v1")
    for mine, other in zip(dataset.buffer.episodes, buffer.episodes, strict=True):
        same(mine, other)
    assert dataset.action_size == (2 if continuous else 3)
    again = run("import", "d3rlpy", source, "--task", "gym/Acrobot-v1", "--out", out, "--json")
    assert again.exit_code == 0 and json.loads(again.stdout)["content_sha256"] == told["content_sha256"]
    other_out = ["import", "d3rlpy", source, "--task", "gym/Acrobot-v1", "--out", out]
    with source.open("w+b") as file:
        vectors(continuous, terminated=False, seed=1).dump(file)
    fails_dry_too(1, "holds something else", *other_out)


def test_the_number_of_actions_is_the_tasks_or_the_one_given(tmp_path: Path) -> None:
    """Data in which the last actions never occur leave it open: d3rlpy takes the largest and one."""
    source = tmp_path / "dumped.h5"
    with source.open("w+b") as file:
        make_buffer([4, 6], action_size=2).dump(file)
    for name, given, size in (("a", {}, 2), ("b", {"action_size": 15}, 15), ("c", {"task": "gym/Acrobot-v1"}, 3)):
        out = tmp_path / f"{name}.h5"
        import_d3rlpy(source, out, **given)  # type: ignore[arg-type]
        assert read_info(out).action_size == OfflineDataset.load(out).action_size == size
    out = tmp_path / "e.h5"
    import_d3rlpy(source, out, task="starpilot")  # by the name that version 0.1 had for it
    assert OfflineDataset.load(out).task == "procgen/starpilot" and read_info(out).action_size == 15
    fails_dry_too(
        2, "did you mean", "import", "d3rlpy", source, "--task", "gym/Acrobot-v9", "--out", tmp_path / "d.h5"
    )
    fails_dry_too(1, "expected 0 to 0", "import", "d3rlpy", source, "--actions", 1, "--out", tmp_path / "d.h5")
    assert not (tmp_path / "d.h5").exists()
    for other in ({"task": "gym/Acrobot-v1"}, {"action_size": 3}):  # what is there is another dataset
        with pytest.raises(OutputExistsError, match="holds something else"):
            import_d3rlpy(source, tmp_path / "a.h5", **other)  # type: ignore[arg-type]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server that says nothing on stderr."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Serves a directory, as d3rlpy's host does its files."""
    directory = tmp_path / "served"
    directory.mkdir()
    handler = functools.partial(Quiet, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}", directory
        served.shutdown()
        thread.join()


def test_a_name_is_downloaded_once(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, directory = server
    write_1(directory / "cartpole.h5")
    moved = dataclasses.replace(DOWNLOADS["cartpole-replay"], url=f"{url}/cartpole.h5")
    monkeypatch.setitem(DOWNLOADS, "cartpole-replay", moved)
    kept, source = tmp_path / "kept", directory / "cartpole.h5"
    asked = ["import", "d3rlpy", "cartpole", "--data-directory", kept, "--out", tmp_path / "a.h5"]
    would = planned(*asked)
    assert (would["source"], would["source_bytes"]) == ("cartpole-replay", source.stat().st_size)
    assert would["bytes"] is None and not kept.exists() and not (tmp_path / "a.h5").exists()
    first = import_d3rlpy("cartpole", tmp_path / "a.h5", data_directory=kept)
    assert first.provenance is not None and first.provenance.task == "gym/CartPole-v1"
    assert first.provenance.settings["source"] == "cartpole-replay" and first.action_size == 2
    assert "nothing would be done" in run(*asked, "-n").stdout
    source.unlink()
    second = import_d3rlpy("cartpole-replay", tmp_path / "b.h5", data_directory=kept)
    assert second.content_sha256 == first.content_sha256


def test_a_download_that_breaks_leaves_nothing(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, _ = server
    for name, there in (("cartpole-replay", f"{url}/none.h5"), ("pendulum-replay", "http://127.0.0.1:9/x.h5")):
        monkeypatch.setitem(DOWNLOADS, name, dataclasses.replace(DOWNLOADS[name], url=there))
        kept = tmp_path / "kept"
        with pytest.raises(DistillError, match="where there is no network, copy d3rlpy's file to"):
            import_d3rlpy(name, tmp_path / "a.h5", data_directory=kept)
        assert not any(kept.glob("*")) and not (tmp_path / "a.h5").exists()
        fails_dry_too(1, "cannot be downloaded", "import", "d3rlpy", name, "--data-directory", kept)


def test_what_cannot_be_imported_is_said(tmp_path: Path, starpilot_file: Path) -> None:
    fails_dry_too(2, "did you mean 'pendulum-random'", "import", "d3rlpy", "pendulum-randm")
    fails_dry_too(1, "needs a package that is missing", "import", "d3rlpy", "hopper-medium-v0")
    fails_dry_too(
        1, "is one of our datasets already", "import", "d3rlpy", starpilot_file, "--out", tmp_path / "a.h5"
    )
    fails_dry_too(1, "does not exist", "import", "d3rlpy", tmp_path / "none.h5", "--out", tmp_path / "a.h5")
    source = write_1(tmp_path / "old.h5")
    fails_dry_too(1, "is a file", "import", "d3rlpy", source, "--out", source / "x.h5")
    fails_dry_too(2, "is the file to import itself", "import", "d3rlpy", source, "--out", source)
    with h5py.File(source, "r+") as file:
        file["rewards"][3] = np.nan
    fails_dry_too(1, "episode 0: NaN or infinite rewards", "import", "d3rlpy", source, "--out", tmp_path / "a.h5")
    with h5py.File(source, "r+") as file:
        file["episode_terminals"][:] = 0
    fails_dry_too(1, "no episode ends", "import", "d3rlpy", source, "--out", tmp_path / "a.h5")
    with h5py.File(source, "r+") as file:
        del file["rewards"]
        file["rewards"] = np.zeros(3, np.float32)
    fails_dry_too(1, "3 rewards", "import", "d3rlpy", source, "--out", tmp_path / "a.h5")
    with h5py.File(source, "r+") as file:
        del file["rewards"]
        file["rewards"] = h5py.ExternalLink(str(starpilot_file), "rewards_0")
    fails_dry_too(1, "is a link to elsewhere", "import", "d3rlpy", source, "--out", tmp_path / "a.h5")
    source.write_bytes(source.read_bytes()[:900])
    fails_dry_too(1, "damaged", "import", "d3rlpy", source, "--out", tmp_path / "a.h5")
    assert not (tmp_path / "a.h5").exists()
