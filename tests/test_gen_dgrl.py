"""The gen_dgrl import, on archives of that layout made here, hostile ones included."""

from __future__ import annotations

import io
import json
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import fails, run
from d3rlpy_distill.data import load_dataset, read_extras, read_info
from d3rlpy_distill.errors import DatasetFormatError, OutputExistsError
from procgen_datasets.gen_dgrl import import_gen_dgrl


def episode(length: int, *, extra: int = 1, dtype: Any = np.uint8, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    dones = np.zeros(length, np.bool_)
    dones[-1] = True
    return {
        "observations": rng.integers(0, 256, (length + extra, 3, 64, 64)).astype(dtype),
        "actions": rng.integers(0, 15, (length, 1)),
        "rewards": rng.integers(0, 3, (length, 1)).astype(np.float64) * 0.5,
        "dones": dones,
    }


def name_of(value: dict[str, Any], index: int = 0, level: int = 17) -> str:
    return f"20221019T1234_{index}_{len(value['actions'])}_{level}_{value['rewards'].sum():.2f}.npy"


def as_npy(value: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array(value, dtype=object) if not isinstance(value, np.ndarray) else value, allow_pickle=True)
    return file.getvalue()


def make_archive(path: Path, files: dict[str, bytes], game: str = "coinrun") -> Path:
    with tarfile.open(path, "w:xz", preset=0) as tar:
        folder = tarfile.TarInfo(game)
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, data in files.items():
            info = tarfile.TarInfo(f"{game}/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize(("extra", "dtype"), [(1, np.uint8), (0, np.uint8), (1, np.float32), (0, np.int64)])
def test_imports_what_the_archive_holds(tmp_path: Path, extra: int, dtype: Any) -> None:
    values = [episode(length, extra=extra, dtype=dtype, seed=length) for length in (5, 1, 9)]
    files = {name_of(value, i, level=30 + i): as_npy(value) for i, value in enumerate(values)}
    archive = make_archive(tmp_path / "coinrun.tar.xz", files)
    out = tmp_path / "coinrun.h5"
    ticks: list[int] = []
    info = import_gen_dgrl(archive, "coinrun", out, on_episode=lambda: ticks.append(1))
    assert len(ticks) == info.num_episodes == 3 and info.num_transitions == 15
    assert info.provenance is not None and info.provenance.task == "procgen/coinrun"
    buffer, _ = load_dataset(out, observation_shape=(3, 64, 64))
    for ours, value in zip(buffer.episodes, values, strict=True):
        length = len(value["actions"])
        np.testing.assert_array_equal(ours.observations, value["observations"][:length])
        assert ours.observations.dtype == np.uint8  # type: ignore[union-attr]
        np.testing.assert_array_equal(ours.actions, value["actions"])
        np.testing.assert_array_equal(ours.rewards, value["rewards"])
        assert ours.terminated
    assert read_extras(out, "episodes")["level_seed"].tolist() == [30, 31, 32]
    assert import_gen_dgrl(archive, "coinrun", out).content_sha256 == info.content_sha256
    with pytest.raises(OutputExistsError):
        import_gen_dgrl(archive, "coinrun", out, episodes=2)


def test_an_episode_at_the_time_limit_is_a_timeout(tmp_path: Path) -> None:
    value = episode(500)
    value["observations"][:] = 0  # random frames take seconds to compress
    for game, cut in (("maze", True), ("coinrun", False)):  # limits of 500 and of 1000 steps
        archive = make_archive(tmp_path / f"{game}.tar.xz", {name_of(value): as_npy(value)}, game)
        import_gen_dgrl(archive, game, tmp_path / f"{game}.h5")
        assert load_dataset(tmp_path / f"{game}.h5")[0].episodes[0].terminated == (not cut)


class Evil:
    """Its pickle makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_calls_code_is_refused_and_does_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    value = episode(3)
    hostile = {**value, "infos": Evil(mark)}
    header = as_npy({})[: as_npy({}).index(b"\n") + 1]
    bare = header + pickle.dumps(Evil(mark))
    for i, data in enumerate((as_npy(hostile), bare)):
        archive = make_archive(tmp_path / f"{i}.tar.xz", {name_of(value): data})
        with pytest.raises(DatasetFormatError, match=r"is refused: it asks for (posix|nt)\.mkdir"):
            import_gen_dgrl(archive, "coinrun", tmp_path / "x.h5")
    assert not mark.exists() and not (tmp_path / "x.h5").exists()
    np.load(io.BytesIO(as_npy(hostile)), allow_pickle=True)
    assert mark.exists()  # the check can fail: an ordinary reader runs it


def changed(key: str, value: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda episode: {**episode, key: value}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed("observations", np.zeros((4, 64, 64, 3), np.uint8)), "expected numbers (T, 3, 64, 64)"),
        (changed("observations", np.zeros((9, 3, 64, 64), np.uint8)), "9 observations; expected 3 or 4"),
        (changed("observations", np.full((4, 3, 64, 64), 0.5)), "no whole numbers from 0 to 255"),
        (changed("observations", np.full((4, 3, 64, 64), 300)), "no whole numbers from 0 to 255"),
        (changed("observations", np.full((4, 3, 64, 64), np.nan)), "no whole numbers from 0 to 255"),
        (changed("actions", np.full(3, 15)), "expected integers 0 to 14"),
        (changed("actions", np.array(["a", "b", "c"])), "a dtype 'U1'; expected one of b1, i1,"),
        (changed("actions", np.zeros((3, 2))), "expected numbers (T,) or (T, 1)"),
        (changed("rewards", np.full(3, np.nan)), "NaN or infinite rewards"),
        (changed("rewards", np.full(3, 7.0)), "a return of 21.00; its name says"),
        (
            changed("rewards", np.array([0, 1e39, 0])),
            "a reward of 1e+39 at step 1; float32 holds at most 3.40282e+38",
        ),
        (changed("rewards", np.array([3e38, 0, 3e38])), "a return that is left of 6e+38 at step 0; float32 holds"),
        (changed("dones", np.array([0, 0, np.nan])), "dones that are neither 0 nor 1"),
        (changed("dones", np.array([0, 0, 0.5])), "dones that are neither 0 nor 1"),
        (changed("dones", np.array([False, True, True])), "dones at [1, 2]; expected the last step only"),
        (changed("dones", np.zeros(3, bool)), "dones at []"),
        (changed("dones", np.ones(2, bool)), "2 dones; its name says 3"),
        (changed("actions", [1, 2, 3]), "expected a dict with the arrays"),
    ],
)
def test_what_is_off_is_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], dict[str, Any]], message: str
) -> None:
    value = episode(3)
    archive = make_archive(tmp_path / "a.tar.xz", {name_of(value): as_npy(change(value))})
    with pytest.raises(DatasetFormatError) as error:
        import_gen_dgrl(archive, "coinrun", tmp_path / "x.h5")
    assert message in str(error.value) and name_of(value) in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.xz"]


def test_other_files_are_refused(tmp_path: Path) -> None:
    value, out = episode(3), tmp_path / "x.h5"
    cases = {
        "expected a name that ends in": {"episode.npy": as_npy(value)},
        "expected a pickled dict": {name_of(value): as_npy(np.zeros(3))},
        "is refused": {name_of(value): b"\x93NUMPY garbage"},
        "holds no episode": {"readme.txt": b"hello"},
    }
    for i, (message, files) in enumerate(cases.items()):
        with pytest.raises(DatasetFormatError, match=message):
            import_gen_dgrl(make_archive(tmp_path / f"{i}.tar.xz", files), "coinrun", out)
    whole = make_archive(tmp_path / "whole.tar.xz", {name_of(value): as_npy(value)}).read_bytes()
    for i, data in enumerate((b"", b"no archive", whole[: len(whole) // 2])):
        broken = tmp_path / f"broken-{i}.tar.xz"
        broken.write_bytes(data)
        with pytest.raises(DatasetFormatError, match=r"broken-\d"):
            import_gen_dgrl(broken, "coinrun", out)
    with pytest.raises(DatasetFormatError, match="does not exist"):
        import_gen_dgrl(tmp_path / "none.tar.xz", "coinrun", out)
    assert not out.exists()


def test_command_imports(tmp_path: Path) -> None:
    values = [episode(4, seed=i) for i in range(3)]
    files = {name_of(value, i): as_npy(value) for i, value in enumerate(values)}
    archive = make_archive(tmp_path / "coinrun.tar.xz", files)
    out = tmp_path / "x.h5"
    result = run("import", "gen-dgrl", archive, "--game", "coinrun", "--episodes", 2, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["episodes"] == 2 == read_info(out).num_episodes
    fails(2, "--game", "import", "gen-dgrl", archive)
    fails(2, "did you mean 'coinrun'", "import", "gen-dgrl", archive, "--game", "coinrum")
    fails(1, "does not exist", "import", "gen-dgrl", "none.tar.xz", "--game", "coinrun")
