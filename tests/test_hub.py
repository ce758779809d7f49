"""Datasets to and from a Hugging Face repository, here a stand-in server: verified, with cards, nothing overwritten."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from buffers import make_buffer, unseal, vectors
from commands import fails, fails_dry_too, planned, run
from d3rlpy_distill import Distilled, OfflineDataset, distill
from d3rlpy_distill.data import Provenance, read_info
from d3rlpy_distill.errors import (
    DamagedFileError,
    DatasetFormatError,
    DistillError,
    OutputExistsError,
    SettingsError,
    UnknownNameError,
)
from d3rlpy_distill.exchange import check_pull, pull_from_hub, push_to_hub
from d3rlpy_distill.files import check_seal, write_seal
from hub_server import TOKEN, HubServer, serving

constants = pytest.importorskip("huggingface_hub.constants")
yaml = pytest.importorskip("yaml")

# huggingface_hub's own way of sending
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
REPO = "me/tiny"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """A server; this machine's user may write to it. Large files go through LFS, and not through Xet."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.chdir(tmp_path)
    with serving() as server:
        yield server


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Four samples of vectors, with provenance."""
    dataset = OfflineDataset(vectors(False), task="gym/Some-v0", name="whole.h5")
    path = tmp_path / "tiny-4.h5"
    distill(dataset, "random", n_samples=4, command="rld-distill distill whole.h5 --method random").save(path)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def front(card: str) -> dict[str, object]:
    value = yaml.safe_load(card.split("---\n")[1])
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("lfs", [True, False])
def test_what_is_pushed_is_pulled_to_the_last_byte(lfs: bool, hub: HubServer, small: Path, tmp_path: Path) -> None:
    hub.lfs = lfs
    pushed = push_to_hub(small, REPO, licence="mit", endpoint=hub.url)
    assert (pushed.file, pushed.sha256, pushed.changed) == ("tiny-4.h5", sha256(small), True)
    assert pushed.url == f"{hub.url}/datasets/me/tiny" and pushed.revision == hub.repos[REPO].head
    assert any("/lfs/" in one for one in hub.asked) == lfs
    assert not push_to_hub(small, REPO, licence="mit", endpoint=hub.url).changed
    pulled = pull_from_hub(REPO, tmp_path / "got" / "a.h5", endpoint=hub.url)
    assert pull_from_hub(REPO, tmp_path / "got" / "a.h5", endpoint=hub.url) == pulled
    assert (pulled.sha256, pulled.revision) == (pushed.sha256, pushed.revision)
    assert pulled.path.read_bytes() == small.read_bytes() and pulled.info.num_episodes == 4
    assert Distilled.load(pulled.path).sha256 == Distilled.load(small).sha256
    assert pulled.card == tmp_path / "got" / "a.md"
    assert pulled.card.read_bytes() == hub.repos[REPO].commits[-1][1]["README.md"]
    assert sorted(one.name for one in (tmp_path / "got").iterdir()) == ["a.h5", "a.md"]


def test_the_commands_say_what_to_type_next(hub: HubServer, small: Path) -> None:
    pushed = run("push", small, REPO, "--private", "--endpoint", hub.url, "--message", "Mine", "--json")
    assert pushed.exit_code == 0 and pushed.stderr == "", pushed.output
    told = json.loads(pushed.stdout)
    assert told["changed"] and told["sha256"] == sha256(small)
    assert hub.repos[REPO].private and hub.repos[REPO].messages == ["Mine"]
    again = run("push", small, REPO, "--endpoint", hub.url)
    assert again.exit_code == 0 and "was there already, unchanged" in again.stdout
    assert "next: rld-distill pull me/tiny" in again.stdout and len(hub.repos[REPO].commits) == 2
    would = planned("pull", REPO, "--sha256", told["sha256"], "--endpoint", hub.url)
    assert (would["path"], would["beside"]) == ("data/tiny-4.h5", "data/tiny-4.md")
    assert would["bytes"] == would["source_bytes"] == small.stat().st_size and not Path("data").exists()
    pulled = run("pull", REPO, "--sha256", told["sha256"], "--endpoint", hub.url, "--json")
    assert pulled.exit_code == 0 and pulled.stderr == "", pulled.output
    got = json.loads(pulled.stdout)
    assert got["path"] == "data/tiny-4.h5" and got["card"] == "data/tiny-4.md" and got["episodes"] == 4
    asked = len(hub.asked)
    same = run("pull", REPO, "--endpoint", hub.url)
    assert same.exit_code == 0 and f"SHA-256 {told['sha256']}" in same.stdout
    assert len(hub.asked) == asked + 1  # it is not downloaded once more
    assert "nothing would be done" in run("pull", REPO, "--endpoint", hub.url, "-n").stdout


def test_a_card_says_what_it_is_and_how_it_was_made(hub: HubServer, small: Path) -> None:
    push_to_hub(small, REPO, licence="cc-by-4.0", endpoint=hub.url)
    card = hub.repos[REPO].commits[-1][1]["README.md"].decode()
    about = front(card)
    assert about["license"] == "cc-by-4.0" and about["pretty_name"] == "tiny"
    assert about["size_categories"] == ["n<1K"] and "dataset-distillation" in about["tags"]  # type: ignore[operator]
    for said in (
        "# tiny-4",
        "`gym/Some-v0`",
        "4 one-step episodes",
        "float32 `(3,)`",
        "3 discrete",
        sha256(small),
        str(read_info(small).content_sha256),
        "rld-distill distill whole.h5 --method random",
        '"seed": 0',
        "rld-distill pull me/tiny --file tiny-4.h5",
        'dd.Distilled.load("data/tiny-4.h5")',
    ):
        assert said in card, said


def test_images_have_a_picture_and_soft_labels_are_named(hub: HubServer, distilled_file: Path) -> None:
    pushed = push_to_hub(distilled_file, REPO, endpoint=hub.url)
    files = hub.repos[REPO].commits[-1][1]
    picture = f"{distilled_file.stem}-samples.png"
    assert files[picture].startswith(b"\x89PNG")
    assert f"![Samples]({picture})" in files["README.md"].decode()
    soft = push_to_hub("starpilot-soft-150", "me/soft", endpoint=hub.url)
    assert pushed.changed and soft.file == "starpilot-soft-150.h5"
    card = hub.repos["me/soft"].commits[-1][1]["README.md"].decode()
    assert "with soft labels: `steps/action_probabilities`" in card
    pulled = pull_from_hub("me/soft", endpoint=hub.url)  # of version 0.1, without a seal: it got one
    assert check_seal(pulled.path) and pulled.info.provenance is not None
    wanted = "e533afcb4b279132f015ffd522409dd56a91453c18175812a7ad3778f11b9988"
    assert pulled.info.content_sha256 == wanted and Distilled.load(pulled.path).teachers is not None


def test_a_picture_and_a_card_of_somebody_elses_are_left_alone(hub: HubServer, distilled_file: Path) -> None:
    picture = f"{distilled_file.stem}-samples.png"
    hub.commit(REPO, {picture: b"mine", "README.md": b"# Mine\n"})
    push_to_hub(distilled_file, REPO, endpoint=hub.url)
    files = hub.repos[REPO].commits[-1][1]
    assert files[picture] == b"mine" and picture not in files["README.md"].decode()
    hub.commit("me/odd", {"README.md": b"\xff\xfe"})
    fails(1, "has another card, which is no text", "push", distilled_file, "me/odd", "--endpoint", hub.url)
    assert len(hub.repos["me/odd"].commits) == 2


def test_a_card_can_be_seen_first(hub: HubServer, small: Path) -> None:
    shown = run("push", small, REPO, "--license", "mit", "--dry-run")
    assert shown.exit_code == 0 and shown.stderr == "" and hub.asked == []
    push_to_hub(small, REPO, licence="mit", endpoint=hub.url)
    assert shown.stdout.strip() == hub.repos[REPO].commits[-1][1]["README.md"].decode().strip()


def test_whole_datasets_are_pushed_too(hub: HubServer, tmp_path: Path) -> None:
    whole = tmp_path / "whole.h5"
    made = Provenance("collected", "gym/Some-v0", 2, "rld-distill collect", {"policy": "random"})
    OfflineDataset(vectors(True), task="gym/Some-v0", provenance=made).save(whole)
    push_to_hub(whole, REPO, endpoint=hub.url)
    card = hub.repos[REPO].commits[-1][1]["README.md"].decode()
    assert "6 episodes, 33 steps" in card and "2 dimensions, continuous" in card
    assert 'dd.load("data/whole.h5")' in card and "dataset-distillation" not in card
    got = pull_from_hub(REPO, endpoint=hub.url)
    assert OfflineDataset.load(got.path).sha256 == OfflineDataset.load(whole).sha256


def test_a_file_that_would_be_its_own_card_is_refused(tmp_path: Path) -> None:
    for check in (pull_from_hub, check_pull):
        with pytest.raises(SettingsError, match=r"x\.md: expected a file to make whose name ends in \.h5 or"):
            check(REPO, tmp_path / "x.md")


def test_texts_of_others_are_kept_and_several_sets_share_a_card(
    hub: HubServer, small: Path, tmp_path: Path
) -> None:
    theirs = "---\nlicense: mit\n---\n# Our data\n\nRead this first.\n"
    hub.commit(REPO, {"README.md": theirs.encode(), "notes.txt": b"mine"})
    push_to_hub(small, REPO, licence="apache-2.0", endpoint=hub.url)
    other = tmp_path / "other-5.h5"
    distill(OfflineDataset(make_buffer([9])), "random", n_samples=5).save(other)
    push_to_hub(other, REPO, endpoint=hub.url)
    files = hub.repos[REPO].commits[-1][1]
    card = files["README.md"].decode()
    assert card.startswith(theirs.rstrip()) and front(card) == {"license": "mit"}
    assert card.count("# tiny-4\n") == card.count("# other-5\n") == 1 and files["notes.txt"] == b"mine"
    small.unlink()
    distill(OfflineDataset(vectors(False, seed=1)), "random", n_samples=4).save(small)
    with pytest.raises(OutputExistsError, match=r"me/tiny has another tiny-4\.h5: give --overwrite"):
        push_to_hub(small, REPO, endpoint=hub.url)
    push_to_hub(small, REPO, overwrite=True, endpoint=hub.url)
    new = hub.repos[REPO].commits[-1][1]["README.md"].decode()
    assert sha256(small) in new and new.count("# tiny-4\n") == 1 and new.index("# tiny-4") < new.index("# other-5")
    mine = tmp_path / "card.md"
    mine.write_text("# Mine alone\n")
    fails(
        1,
        "has another card, whose text would be lost: give",
        "push",
        small,
        REPO,
        "--card",
        mine,
        "--endpoint",
        hub.url,
    )
    assert run("push", small, REPO, "--card", mine, "--overwrite", "--endpoint", hub.url).exit_code == 0
    assert hub.repos[REPO].commits[-1][1]["README.md"] == b"# Mine alone\n"
    fails_dry_too(2, "has several datasets: name one with --file", "pull", REPO, "--endpoint", hub.url)
    assert pull_from_hub(REPO, file="other-5.h5", endpoint=hub.url).info.num_episodes == 5
    fails_dry_too(2, "has no 'third.h5', or several", "pull", REPO, "--file", "third.h5", "--endpoint", hub.url)


def test_a_card_cannot_be_broken_by_what_a_file_says(hub: HubServer, tmp_path: Path) -> None:
    evil = "```\n<script>alert(1)</script>\n``` | x"
    path = tmp_path / "evil.h5"
    told = Provenance("distilled", evil, 3, evil, {"source": evil, "config": {"learner": "x" * 5000}})
    distilled = distill(OfflineDataset(vectors(False)), "random", n_samples=2)
    Distilled(distilled.samples, provenance=told).save(path)
    push_to_hub(path, REPO, endpoint=hub.url)
    card = hub.repos[REPO].commits[-1][1]["README.md"].decode()
    outside = re.sub(r"^(`{4,}|```)\w*\n.*?\n\1$", "", card, flags=re.DOTALL | re.MULTILINE)
    assert "<script>" not in outside and "alert(1)" in card and len(card) < 6000


def test_a_revision_or_a_hash_pins_what_is_pulled(hub: HubServer, small: Path, tmp_path: Path) -> None:
    first = push_to_hub(small, REPO, endpoint=hub.url)
    before = small.read_bytes()
    small.unlink()
    distill(OfflineDataset(vectors(False, seed=1)), "random", n_samples=4).save(small)
    push_to_hub(small, REPO, overwrite=True, endpoint=hub.url)
    old = pull_from_hub(REPO, tmp_path / "old.h5", revision=first.revision, sha256=first.sha256, endpoint=hub.url)
    assert old.path.read_bytes() == before
    pinned = ["pull", REPO, "--sha256", first.sha256, "--endpoint", hub.url]
    fails_dry_too(1, "and the one that was expected", *pinned, "--out", tmp_path / "new.h5")
    assert not (tmp_path / "new.h5").exists()
    fails_dry_too(2, "has no revision 'nowhere'", "pull", REPO, "--revision", "nowhere", "--endpoint", hub.url)
    fails_dry_too(2, "expected 64 hexadecimal digits", "pull", REPO, "--sha256", "12ab", "--endpoint", hub.url)
    there = ["pull", REPO, "--out", tmp_path / "old.h5", "--endpoint", hub.url]
    fails_dry_too(1, "old.h5 exists already", *there)
    assert (tmp_path / "old.h5").read_bytes() == before
    (tmp_path / "old.md").write_text("what I think of it")
    (tmp_path / "old.h5").unlink()
    fails_dry_too(1, "old.md exists already", *there)
    assert not (tmp_path / "old.h5").exists()
    new = pull_from_hub(REPO, tmp_path / "old.h5", overwrite=True, endpoint=hub.url)
    assert new.path.read_bytes() == small.read_bytes()


def damaged(kind: str, small: Path, directory: Path) -> bytes:
    """A file that must not be believed."""
    data = bytearray(small.read_bytes())
    if kind == "a changed byte":
        data[len(data) // 2] ^= 1
    elif kind == "cut short":
        data = data[:-100]
    elif kind == "no seal":
        copy = directory / "copy.h5"
        copy.write_bytes(data)
        unseal(copy)
        return copy.read_bytes()
    elif kind == "sealed nonsense":
        copy = directory / "nonsense.h5"
        copy.write_bytes(bytes(512) + b"no HDF5" * 99)
        write_seal(copy)
        return copy.read_bytes()
    elif kind == "a pickle":
        return b"\x80\x04cos\nsystem\n(S'touch ran'\ntR."
    elif kind == "d3rlpy's own":
        copy = directory / "dumped.h5"
        with copy.open("w+b") as file:
            vectors(False).dump(file)
        return copy.read_bytes()
    elif kind == "NaN":
        copy = directory / "nan.h5"
        buffer = vectors(False)
        buffer.episodes[2].rewards[1] = np.nan
        OfflineDataset(buffer).save(copy)
        return copy.read_bytes()
    return bytes(data)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("a changed byte", "damaged"),
        ("cut short", "cut short"),
        ("no seal", "has no seal"),
        ("sealed nonsense", "cannot be read as an HDF5 dataset"),
        ("a pickle", "has no seal"),
        ("d3rlpy's own", "has no seal"),
        ("NaN", "NaN or infinite rewards"),
    ],
)
def test_what_is_off_is_refused_before_it_has_a_name(
    kind: str, message: str, hub: HubServer, small: Path, tmp_path: Path
) -> None:
    """Whoever owns the repository put it there: its hash is right, and the file is not."""
    hub.commit(REPO, {"tiny-4.h5": damaged(kind, small, tmp_path)})
    with pytest.raises((DamagedFileError, DatasetFormatError), match=message) as refused:
        pull_from_hub(REPO, tmp_path / "got" / "a.h5", endpoint=hub.url)
    assert "me/tiny, tiny-4.h5" in str(refused.value) and tempfile.gettempdir() not in str(refused.value)
    assert list((tmp_path / "got").iterdir()) == [] and not (tmp_path / "ran").exists()
    fails(1, message, "pull", REPO, "--out", tmp_path / "got" / "a.h5", "--endpoint", hub.url)


def test_what_arrives_must_be_what_the_repository_says(hub: HubServer, small: Path, tmp_path: Path) -> None:
    """Another sound file of the same length, as a server in between could send it."""
    push_to_hub(small, REPO, endpoint=hub.url)
    other = tmp_path / "other.h5"
    samples = distill(
        OfflineDataset(vectors(False, seed=7), task="gym/Some-v0", name="whole.h5"), "random", n_samples=4
    )
    samples.save(other)
    hub.tampers["tiny-4.h5"] = other.read_bytes()
    with pytest.raises(DistillError, match=r"the one that me/tiny says|cannot be reached"):
        pull_from_hub(REPO, tmp_path / "a.h5", endpoint=hub.url)
    assert not (tmp_path / "a.h5").exists()


def test_names_that_a_repository_chooses_lead_nowhere(hub: HubServer, small: Path, tmp_path: Path) -> None:
    hub.commit(REPO, {"deep/er/tiny-4.h5": small.read_bytes()})
    assert pull_from_hub(REPO, endpoint=hub.url).path == Path("data/tiny-4.h5")
    hub.commit("me/evil", {"..h5": small.read_bytes()})
    hub.commit("me/evil2", {"-rf.h5": small.read_bytes()})
    hub.commit("me/evil3", {"../../up.h5": small.read_bytes()})
    for repo in ("me/evil", "me/evil2", "me/evil3"):
        with pytest.raises(DistillError):
            pull_from_hub(repo, endpoint=hub.url)
    assert sorted(one.name for one in Path("data").iterdir()) == ["tiny-4.h5"]
    assert not list(tmp_path.parent.glob("up.h5"))
    hub.commit("me/none", {"README.md": b"# nothing"})
    fails_dry_too(1, "has no dataset: expected an .h5 file", "pull", "me/none", "--endpoint", hub.url)


def test_a_card_that_is_no_text_is_left_out(hub: HubServer, small: Path) -> None:
    for name, card in (("me/a", b"\xff\xfe\x00"), ("me/b", b"x" * (1 << 21))):
        hub.commit(name, {"tiny-4.h5": small.read_bytes(), "README.md": card})
        assert pull_from_hub(name, f"{name[-1]}.h5", endpoint=hub.url).card is None


def test_what_the_server_refuses_is_one_line(
    hub: HubServer, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails_dry_too(
        1, "shows no dataset repository me/none: check the name", "pull", "me/none", "--endpoint", hub.url
    )
    fails_dry_too(2, "is no repository's name: expected OWNER/NAME", "pull", "a/b/c", "--endpoint", hub.url)
    fails(2, "is no repository's name: expected OWNER/NAME", "push", small, "../up", "--endpoint", hub.url)
    hub.commit(REPO, {})
    hub.race = True
    fails(1, "was changed at this moment by somebody else: push again", "push", small, REPO, "--endpoint", hub.url)
    assert run("push", small, REPO, "--endpoint", hub.url).exit_code == 0
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    fails(1, "log in with 'hf auth login', or set HF_TOKEN", "push", small, "me/new", "--endpoint", hub.url)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{free.getsockname()[1]}"
    fails_dry_too(1, f"{nowhere} cannot be reached", "pull", REPO, "--endpoint", nowhere)
    fails(1, f"{nowhere} cannot be reached", "push", small, REPO, "--endpoint", nowhere)


def test_what_cannot_be_pushed_is_said_before_anything_is_sent(
    hub: HubServer, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'starpilot-soft-150'"):
        push_to_hub("starpilot-soft-15", REPO, endpoint=hub.url)
    dumped = tmp_path / "dumped.h5"
    with dumped.open("w+b") as file:
        vectors(False).dump(file)
    fails(1, "rld-distill import d3rlpy", "push", dumped, REPO, "--endpoint", hub.url)
    broken = tmp_path / "broken.h5"
    broken.write_bytes(small.read_bytes()[:-1])
    fails(1, "cut short", "push", broken, REPO, "--endpoint", hub.url)
    odd = tmp_path / "a b.h5"
    odd.write_bytes(small.read_bytes())
    fails(2, "expected a file's name of letters", "push", odd, REPO, "--endpoint", hub.url)
    with pytest.raises(SettingsError, match="license 'MIT!': expected an identifier"):
        push_to_hub(small, REPO, licence="MIT!", endpoint=hub.url)
    assert hub.asked == [] and hub.repos == {}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    fails(1, "pip install 'd3rlpy-distill[hub]'", "push", small, REPO, "--endpoint", hub.url)
    fails_dry_too(1, "pip install 'd3rlpy-distill[hub]'", "pull", REPO, "--endpoint", hub.url)
