"""Writing, claims, leftovers: nothing of others is touched, nothing half written keeps its name."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from d3rlpy_distill.errors import DamagedFileError, InUseError, OutputExistsError, OutputPathError, SettingsError
from d3rlpy_distill.files import (
    appears_atomically,
    check_empty,
    check_output,
    claimed,
    load_state,
    load_tensors,
    read_document,
    save_state,
    save_tensors,
    write_document,
)


def write(path: Path, text: str = "new", *, overwrite: bool = False) -> None:
    with appears_atomically(path, overwrite=overwrite) as partial:
        partial.write_text(text)


def names(path: Path) -> list[str]:
    return sorted(one.name for one in path.iterdir())


def test_a_file_appears_whole_in_directories_that_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.txt"
    with appears_atomically(path) as partial:
        partial.write_text("half")
        assert not path.exists() and partial.parent == path.parent and partial.name.startswith(".c.txt.")
    assert path.read_text() == "half" and names(path.parent) == ["c.txt"]


def test_what_fails_leaves_nothing_and_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    write(path, "old")
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), appears_atomically(path, overwrite=True) as partial:
            partial.write_text("half")
            raise error
    assert path.read_text() == "old" and names(tmp_path) == ["c.txt"]


def test_files_are_replaced_only_on_demand(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    path.write_text("theirs")
    with pytest.raises(OutputExistsError, match="exists already"):
        write(path)
    assert path.read_text() == "theirs"
    write(path, overwrite=True)
    assert path.read_text() == "new"


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_left_alone(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the file system knows no hard links."""
    if not links:
        monkeypatch.setattr(os, "link", lambda *paths: (_ for _ in ()).throw(OSError(errno.EPERM, "no links")))
    path = tmp_path / "c.txt"
    with pytest.raises(OutputExistsError), appears_atomically(path) as partial:
        partial.write_text("ours")
        path.write_text("theirs")
    assert path.read_text() == "theirs" and names(tmp_path) == ["c.txt"]
    path.unlink()
    write(path)
    assert path.read_text() == "new" and names(tmp_path) == ["c.txt"]


def test_links_are_not_followed(tmp_path: Path) -> None:
    theirs, path = tmp_path / "theirs", tmp_path / "c.txt"
    theirs.write_text("theirs")
    path.symlink_to(theirs)
    with pytest.raises(OutputExistsError):
        write(path)
    write(path, overwrite=True)  # the link itself
    assert not path.is_symlink() and theirs.read_text() == "theirs" and path.read_text() == "new"
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputExistsError):
        write(path)
    lock = tmp_path / ".d.h5.lock"
    lock.symlink_to(theirs)
    with pytest.raises(OutputPathError, match="cannot be claimed"), claimed(tmp_path / "d.h5"):
        pass
    assert theirs.read_text() == "theirs" and lock.is_symlink()


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("directory", SettingsError, "is a directory"),
        ("file/c.txt", OutputPathError, "is a file"),
        ("dangling/c.txt", OutputPathError, "link to nothing"),
        ("\udcff.h5", SettingsError, "not UTF-8"),
        ("a\0b", SettingsError, "zero character"),
        ("x" * 256, OutputPathError, "too long"),
    ],
)
def test_paths_that_no_file_can_have(name: str, error: type[Exception], message: str, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    before = names(tmp_path)
    for attempt in (check_output, write):
        with pytest.raises(error, match=message):
            attempt(tmp_path / name)
    with pytest.raises(error, match=message), claimed(tmp_path / name):
        pass
    assert names(tmp_path) == before


def test_long_names_are_written_and_say_so_where_they_cannot_be_claimed(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 246 + ".txt")
    write(path)
    assert path.read_text() == "new"
    with pytest.raises(OutputPathError, match="too long"), claimed(path):
        pass
    with claimed(tmp_path / ("y" * 240)):
        pass
    assert names(tmp_path) == [path.name]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this user")
def test_directories_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        for attempt in (check_output, write):
            with pytest.raises(OutputPathError, match="may not be written"):
                attempt(tmp_path / "c.txt")
    finally:
        tmp_path.chmod(0o700)


def test_a_claim_is_exclusive_and_leaves_nothing(tmp_path: Path) -> None:
    path, directory = tmp_path / "c.h5", tmp_path / "run"
    with claimed(path), claimed(directory, directory=True):
        with pytest.raises(InUseError, match=f"process {os.getpid()} on"), claimed(path):
            pass
        with pytest.raises(InUseError), claimed(directory, directory=True):
            pass
        check_empty(directory, "nothing")  # but for the lock
        with claimed(tmp_path / "d.h5"):
            pass
    assert names(tmp_path) == []  # nothing came of the directory either
    directory.mkdir()
    with claimed(directory, directory=True):
        pass
    assert names(directory) == []  # it was there before


HOLD = """
import sys, time
from pathlib import Path
from d3rlpy_distill.files import appears_atomically, claimed
with claimed(Path(sys.argv[1])), appears_atomically(Path(sys.argv[1])) as partial:
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_claim_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with pytest.raises(InUseError, match=f"process {process.pid} on"), claimed(path):
            pass
        process.kill()
    assert len(names(tmp_path)) == 2  # the lock and the partial file
    with claimed(path):
        assert names(tmp_path) == [".c.h5.lock"]
    assert names(tmp_path) == []


def test_leftovers_of_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    ours, writing = tmp_path / f".c.h5.{'0' * 16}.partial", tmp_path / "c.h5.partial"
    others = [writing, tmp_path / ".c.h5.mine.partial", tmp_path / f".d.h5.{'0' * 16}.partial"]
    for one in (ours, *others):
        one.write_text("half")
    link = tmp_path / f".c.h5.{'1' * 16}.partial"
    link.symlink_to(writing)
    with appears_atomically(path) as alive, claimed(path):
        assert alive.exists() and not ours.exists()
    assert names(tmp_path) == sorted(["c.h5", link.name, *(one.name for one in others)])


def test_a_lock_that_is_not_ours_stays(tmp_path: Path) -> None:
    lock = tmp_path / ".c.h5.lock"
    lock.write_text("my notes")
    with pytest.raises(OutputPathError, match="no lock of ours"), claimed(tmp_path / "c.h5"):
        pass
    assert lock.read_text() == "my notes"
    lock.write_text("")  # of one that was killed before it said who it was
    with claimed(tmp_path / "c.h5"):
        pass
    assert not lock.exists()


def test_documents_and_states_are_as_they_were_written(tmp_path: Path) -> None:
    document, state = tmp_path / "d.json", tmp_path / "s.pt"
    write_document(document, {"a": [1, 2.5], "b": None})
    save_state(state, {"a": 1})
    assert read_document(document) == {"a": [1, 2.5], "b": None} and load_state(state) == {"a": 1}
    document.write_text(document.read_text().replace("2.5", "2.6"))
    data = bytearray(state.read_bytes())
    data[-1] ^= 1
    state.write_bytes(bytes(data))
    for read, path in ((read_document, document), (load_state, state)):
        with pytest.raises(DamagedFileError):
            read(path)


def test_tensors_of_one_content_are_one_file(tmp_path: Path) -> None:
    """safetensors draws the order of what a file says of itself anew in every process, and at every call."""
    tensors = {"b": torch.arange(5.0), "a": torch.ones(2, 3, dtype=torch.bfloat16), "empty": torch.zeros(0)}
    said = {key: f'"{key}" \N{LATIN SMALL LETTER E WITH ACUTE}' for key in "zyxabc"}
    for name in ("one", "two"):
        save_tensors(tmp_path / name, tensors, said)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    loaded, told = load_tensors(tmp_path / "one")
    assert told == said and loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[key], tensors[key]) for key in tensors)
    theirs = safetensors.torch.load_file(tmp_path / "one")
    assert all(torch.equal(theirs[key], tensors[key]) for key in tensors)
