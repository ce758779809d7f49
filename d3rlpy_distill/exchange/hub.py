"""Datasets to and from Hugging Face dataset repositories, each with its card; what is pulled is verified first."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.util
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from d3rlpy.datasets import DATA_DIRECTORY

from ..data import DatasetInfo, OfflineDataset, read_info
from ..errors import (
    DamagedFileError,
    DatasetFormatError,
    DistillError,
    MissingExtraError,
    OutputExistsError,
    SettingsError,
)
from ..files import appears_atomically, check_output, check_seal, claimed
from ..methods import Distilled
from ..pipeline import dataset_file
from ..report import save_gallery
from ..report.gallery import has_images
from .card import CardFacts, describes, merged
from .transfer import Transfer
from .writing import file_sha256

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["Pulled", "Pushed", "check_pull", "preview_card", "pull_from_hub", "push_to_hub"]

KIND = "dataset"
CARD, PICTURE = "README.md", "samples.png"
SUFFIXES = (".h5", ".hdf5")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
MAX_CARD = 1 << 20  # bytes
HEXADECIMAL = re.compile(r"[0-9a-f]{64}")
CHANGED = 412
"""The status with which a commit is refused whose parent is no longer the last one."""


@dataclasses.dataclass(frozen=True)
class Pushed:
    """What a push came to.

    Args:
        repo: The repository.
        file: The dataset's name in it.
        revision: The commit.
        url: Where it can be looked at.
        sha256: Hash of the file.
        changed: False if the repository held just this already.
    """

    repo: str
    file: str
    revision: str
    url: str
    sha256: str
    changed: bool


@dataclasses.dataclass(frozen=True)
class Pulled:
    """A dataset that was pulled and verified.

    Args:
        path: The file.
        card: Its card, or None if the repository has none.
        repo: Where it comes from.
        revision: The commit.
        sha256: Hash of the file.
        info: What it says of itself.
    """

    path: Path
    card: Path | None
    repo: str
    revision: str
    sha256: str
    info: DatasetInfo


def push_to_hub(
    name_or_path: str | Path,
    repo: str,
    *,
    card: str | None = None,
    licence: str | None = None,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
    overwrite: bool = False,
    data_directory: str | Path = DATA_DIRECTORY,
    endpoint: str | None = None,
) -> Pushed:
    """Puts a dataset of ours, distilled or not, into a Hugging Face dataset repository, with its card.

    The repository is made unless it is there. File, card and, of images, a picture of samples go into one commit. A
    card that is there keeps its text: the file's section is added to it, or replaces the one of an earlier push.
    Who pushes is known by ``hf auth login`` or ``HF_TOKEN``, as everywhere in ``huggingface_hub``.

    Args:
        name_or_path: A file, or a name that is known, such as ``"starpilot-soft-150"``.
        repo: ``"OWNER/NAME"``.
        card: The whole card instead, Markdown.
        licence: One of Hugging Face's identifiers, for a new card.
        private: Make a new repository private.
        revision: A branch; by default main.
        message: Of the commit.
        overwrite: Replace another file of that name, or, with ``card``, another card.
        data_directory: Where named datasets are kept.
        endpoint: Of a server with the same interface; by default ``HF_ENDPOINT``, or Hugging Face.

    Raises:
        MissingExtraError: If huggingface_hub is not installed.
        SettingsError: If the repository's name or the licence is none.
        DatasetFormatError: If the file is damaged, or another program's.
        OutputExistsError: If the repository has another file of that name, and ``overwrite`` is False.
        DistillError: If the server cannot be reached, or refuses.
    """
    api = _api(endpoint)
    with tempfile.TemporaryDirectory() as directory:
        path, facts = _prepared(dataset_file(name_or_path, data_directory=data_directory), repo, Path(directory))
        picture = Path(directory) / PICTURE
        merged(None, facts, licence)  # refuses a licence before anything is sent
        with _talking(repo, revision, api):
            api.create_repo(repo, repo_type=KIND, private=private or None, exist_ok=True)
            known = api.dataset_info(repo, revision=revision, files_metadata=True)
            there = {one.rfilename: one for one in known.siblings or []}
            same = facts.name in there and _is(there[facts.name], path)
            if facts.name in there and not (same or overwrite):
                raise OutputExistsError(
                    f"{repo} has another {facts.name}: give --overwrite to replace it, or another name or repository."
                )
            old = _read_card(api, repo, known.sha, Path(directory)) if CARD in there else None
            if CARD in there and not overwrite and (old is None or card not in (None, old)):
                raise OutputExistsError(
                    f"{repo} has another card, {'which is no text' if old is None else 'whose text would be lost'}: "
                    "give --overwrite to replace it, or leave out --card."
                )
            if facts.picture in there and not (describes(old or "", facts.name) or overwrite):
                facts = dataclasses.replace(facts, picture=None)  # it is somebody else's
            new = merged(old, facts, licence) if card is None else card
            if same and new == old:
                return Pushed(repo, facts.name, known.sha, _url(api, repo), facts.sha256, changed=False)
            made = _commit(api, facts, path, new, picture, revision, known.sha, message)
    return Pushed(repo, facts.name, made, _url(api, repo), facts.sha256, changed=True)


def preview_card(
    name_or_path: str | Path,
    repo: str,
    *,
    licence: str | None = None,
    data_directory: str | Path = DATA_DIRECTORY,
) -> str:
    """Returns the card that :func:`push_to_hub` writes into a new repository. Nothing is sent.

    Args and errors: those of :func:`push_to_hub`.
    """
    with tempfile.TemporaryDirectory() as directory:
        _, facts = _prepared(dataset_file(name_or_path, data_directory=data_directory), repo, Path(directory))
        return merged(None, facts, licence)


def pull_from_hub(
    repo: str,
    path: str | Path | None = None,
    *,
    file: str | None = None,
    revision: str | None = None,
    sha256: str | None = None,
    overwrite: bool = False,
    endpoint: str | None = None,
) -> Pulled:
    """Gets a dataset that was pushed, with its card.

    Nothing is believed before it is verified, and nothing is ever run: the file must carry its seal and be as it was
    sealed, have the hash that the repository says and the one that is expected, and load whole. Only then it gets
    its name. The card is text, and is not verified.

    Args:
        repo: ``"OWNER/NAME"``.
        path: The file to make; by default ``data/`` and the name in the repository. The card lies beside it, as
            ``.md``.
        file: Which of the repository's datasets; may be left out where there is one.
        revision: A branch, a tag or a commit; by default main.
        sha256: Hash that the file must have, as its card or a paper says it.
        overwrite: Replace files that are there.
        endpoint: See :func:`push_to_hub`.

    Raises:
        MissingExtraError: If huggingface_hub is not installed.
        SettingsError: If a name or the hash is none, or there are several datasets and ``file`` is None.
        OutputExistsError: If there is another file, and ``overwrite`` is False.
        DamagedFileError: If the file is not as it was written, or not the expected one.
        DatasetFormatError: If it is no dataset of ours.
        DistillError: If the server cannot be reached, or refuses.
    """
    asked = _Asked.of(repo, path, file, revision, sha256, endpoint)
    out = asked.out
    with claimed(out):
        if asked.is_there():
            return Pulled(out, _beside(out), repo, asked.revision, file_sha256(out), _verified(out))
        check_output(out, overwrite=overwrite)
        with tempfile.TemporaryDirectory() as directory:
            with _talking(repo, revision, asked.api):
                got = _download(asked.api, repo, asked.name, asked.revision, Path(directory))
                card = asked.card(Path(directory))
            found = file_sha256(got)
            asked.check_sha256(found)
            info = _verified(got, f"{repo}, {asked.name}")
            beside = out.with_suffix(".md")
            if card is not None:
                check_output(beside, overwrite=overwrite or _says(beside, card))
            with appears_atomically(out, overwrite=overwrite) as partial:
                shutil.copyfile(got, partial)
        if card is not None:
            with appears_atomically(beside, overwrite=True) as partial:
                partial.write_text(card, encoding="utf-8")
    return Pulled(
        out, None if card is None else beside, repo, asked.revision, found, dataclasses.replace(info, path=out)
    )


def check_pull(
    repo: str,
    path: str | Path | None = None,
    *,
    file: str | None = None,
    revision: str | None = None,
    sha256: str | None = None,
    overwrite: bool = False,
    endpoint: str | None = None,
) -> Transfer:
    """Says what :func:`pull_from_hub` would do: the server is asked, and its card is read. Nothing is written.

    Args: those of :func:`pull_from_hub`.

    Raises: those of :func:`pull_from_hub`, but for InUseError and for what the file itself shows.
    """
    asked = _Asked.of(repo, path, file, revision, sha256, endpoint)
    out, source, size = asked.out, f"{repo}, {asked.name}", asked.there[asked.name].size
    if asked.is_there():
        _verified(out)
        return Transfer(source, size, out, size, 0.0, beside=_beside(out), done=True)
    check_output(out, overwrite=overwrite)
    said = _lfs_sha256(asked.there[asked.name])
    if said is not None:
        asked.check_sha256(said)
    with tempfile.TemporaryDirectory() as directory, _talking(repo, revision, asked.api):
        card = asked.card(Path(directory))
    beside = out.with_suffix(".md")
    if card is not None:
        check_output(beside, overwrite=overwrite or _says(beside, card))
    return Transfer(source, size, out, size, None, beside=None if card is None else beside)


@dataclasses.dataclass(frozen=True, eq=False)
class _Asked:
    """A file that a repository says that it has.

    Args:
        api: Of the server.
        repo: The repository.
        revision: The commit.
        there: What it holds, by name.
        name: The file's name in it.
        out: The file to make.
        sha256: Hash that the file must have; None takes any.
    """

    api: HfApi
    repo: str
    revision: str
    there: Mapping[str, Any]
    name: str
    out: Path
    sha256: str | None

    @classmethod
    def of(
        cls,
        repo: str,
        path: str | Path | None,
        file: str | None,
        revision: str | None,
        sha256: str | None,
        endpoint: str | None,
    ) -> _Asked:
        if sha256 is not None and not HEXADECIMAL.fullmatch(sha256):
            raise SettingsError(f"sha256 {sha256!r}: expected 64 hexadecimal digits, as a card says them.")
        if path is not None and Path(path).suffix not in SUFFIXES:  # its card lies beside it, as .md
            raise SettingsError(f"{path}: expected a file to make whose name ends in {' or '.join(SUFFIXES)}.")
        api = _api(endpoint)
        with _talking(repo, revision, api):
            known = api.dataset_info(repo, revision=revision, files_metadata=True)
        there = {one.rfilename: one for one in known.siblings or []}
        name = _chosen(repo, [one for one in there if PurePosixPath(one).suffix in SUFFIXES], file)
        out = Path("data") / PurePosixPath(name).name if path is None else Path(path)
        return cls(api, repo, str(known.sha), there, name, out, sha256)

    def is_there(self) -> bool:
        """Whether the file to make is the repository's already."""
        found = self.out.exists() and _is(self.there[self.name], self.out)
        return found and self.sha256 in (None, file_sha256(self.out))

    def card(self, directory: Path) -> str | None:
        """Returns the card's text, downloaded; None if there is none."""
        return _read_card(self.api, self.repo, self.revision, directory) if CARD in self.there else None

    def check_sha256(self, found: str) -> None:
        """Refuses a hash that is not the repository's, or not the one that was expected.

        Raises:
            DamagedFileError: If it is not.
        """
        said = _lfs_sha256(self.there[self.name])
        for expected, whose in ((said, f"that {self.repo} says"), (self.sha256, "that was expected")):
            if expected is not None and found != expected:
                raise DamagedFileError(
                    f"{self.repo}, {self.name}: its SHA-256 is {found}, and the one {whose} {expected}: it is refused."
                )


def _api(endpoint: str | None) -> HfApi:
    if importlib.util.find_spec("huggingface_hub") is None:
        raise MissingExtraError("huggingface_hub is not installed; type: pip install 'd3rlpy-distill[hub]'")
    from huggingface_hub import HfApi

    return HfApi(endpoint=endpoint, library_name="d3rlpy-distill")


def _prepared(path: Path, repo: str, directory: Path) -> tuple[Path, CardFacts]:
    """Returns a sealed file to push, and what its card says; draws samples into the directory where they are images.

    Raises:
        DatasetFormatError: If the file is damaged, or another program's.
        SettingsError: If its name is none that a repository takes.
    """
    name = path.stem + SUFFIXES[0]
    if not NAME.fullmatch(name):
        raise SettingsError(f"{name!r}: expected a file's name of letters, digits, dots, hyphens and underscores.")
    info = read_info(path)
    if info.provenance is None:
        raise DatasetFormatError(
            f"{path} is another program's, and nothing tells whether it is whole: turn it into one of ours with "
            f"'rld-distill import d3rlpy {path}'."
        )
    soft, views = False, 0
    if info.provenance.kind == "distilled":
        distilled = Distilled.load(path)
        soft, views = distilled.soft, len(distilled.views or ())
        if has_images(distilled.samples.observations):
            save_gallery(distilled, directory / PICTURE)
        if not check_seal(path):  # of version 0.1, which had no seals
            path = directory / name
            distilled.save(path)
            info = read_info(path)
    elif not check_seal(path):
        raise DatasetFormatError(f"{path} has no seal, as files of version 0.1: make it again to push it.")
    dataset = OfflineDataset.load(path)
    facts = CardFacts(
        repo=repo,
        name=name,
        info=info,
        shape=tuple(dataset.observation_shape),
        dtype=str(dataset.buffer.dataset_info.observation_signature.dtype[0]),
        discrete=dataset.discrete,
        soft=soft,
        views=views,
        n_bytes=path.stat().st_size,
        sha256=file_sha256(path),
        picture=f"{path.stem}-samples.png" if (directory / PICTURE).exists() else None,
    )
    return path, facts


def _commit(
    api: HfApi,
    facts: CardFacts,
    path: Path,
    card: str,
    picture: Path,
    revision: str | None,
    parent: str,
    message: str | None,
) -> str:
    from huggingface_hub import CommitOperationAdd

    operations = [
        CommitOperationAdd(facts.name, str(path)),
        CommitOperationAdd(CARD, card.encode()),
        *([CommitOperationAdd(facts.picture, str(picture))] if facts.picture else []),
    ]
    with _quiet():
        made = api.create_commit(
            facts.repo,
            operations,
            commit_message=message or f"Add {facts.name}",
            repo_type=KIND,
            revision=revision,
            parent_commit=parent,
        )
    return str(made.oid)


def _chosen(repo: str, names: list[str], file: str | None) -> str:
    """Returns the dataset that is meant: its whole name in the repository, or its last part."""
    found = names if file is None else [name for name in names if file in (name, PurePosixPath(name).name)]
    if not names:
        raise DistillError(f"{repo} has no dataset: expected an .h5 file, as 'rld-distill push' makes it.")
    if len(found) != 1:
        listed = ", ".join(sorted(names)[:9]) + (", ..." if len(names) > 9 else "")
        said = "has several datasets" if file is None else f"has no {file!r}, or several"
        raise SettingsError(f"{repo} {said}: name one with --file; there are {listed}.")
    if not NAME.fullmatch(PurePosixPath(found[0]).name):
        raise DistillError(f"{repo} has a dataset {found[0]!r}: expected a name of letters, digits and hyphens.")
    return found[0]


def _download(api: HfApi, repo: str, name: str, revision: str, directory: Path) -> Path:
    with _quiet():
        got = api.hf_hub_download(repo, name, repo_type=KIND, revision=revision, local_dir=directory)
    path = Path(got).resolve()
    if not path.is_file() or not path.is_relative_to(directory.resolve()):
        raise DistillError(f"{repo}, {name}: it did not arrive where it was to go.")
    return path


def _read_card(api: HfApi, repo: str, revision: str, directory: Path) -> str | None:
    """Returns the text of a repository's card; None if it is no text, or too long to be one."""
    data = _download(api, repo, CARD, revision, directory).read_bytes()
    if len(data) > MAX_CARD:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _verified(path: Path, name: str | None = None) -> DatasetInfo:
    """Returns what a file says of itself, after it was found to be as it was sealed, and loaded whole.

    Raises:
        DamagedFileError: If it is not as it was written, or has no seal.
        DatasetFormatError: If it is no dataset of ours.
    """
    shown = name or str(path)
    try:
        if not check_seal(path):
            raise DamagedFileError(
                f"{shown} has no seal, so nothing tells whether it is as it was written: it is refused. Download it "
                "by other means, and import it with 'rld-distill import d3rlpy'."
            )
        info = read_info(path)
        if info.provenance is None:
            raise DatasetFormatError(f"{shown} is no dataset of ours: it does not say where it comes from.")
        if info.provenance.kind == "distilled":
            Distilled.load(path)
        else:
            OfflineDataset.load(path)
    except (DamagedFileError, DatasetFormatError) as error:
        raise type(error)(str(error).replace(str(path), shown)) from error
    return info


def _is(one: Any, path: Path) -> bool:
    """Tells whether a file is the one that a repository has, by the hash that it says: of LFS, or of git."""
    said = _lfs_sha256(one)
    if said is not None:
        return said == file_sha256(path)
    head = f"blob {path.stat().st_size}\0".encode()
    return bool(one.blob_id == hashlib.sha1(head + path.read_bytes()).hexdigest())


def _lfs_sha256(one: Any) -> str | None:
    """The hash that a repository says of a file; None of one that it keeps otherwise."""
    lfs = one.lfs
    value = None if lfs is None else getattr(lfs, "sha256", None)
    return str(value) if value else None


def _beside(path: Path) -> Path | None:
    card = path.with_suffix(".md")
    return card if card.is_file() else None


def _says(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()


def _url(api: HfApi, repo: str) -> str:
    return f"{api.endpoint}/datasets/{repo}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without progress bars where nobody looks."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if sys.stderr.isatty() or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


@contextlib.contextmanager
def _talking(repo: str, revision: str | None, api: HfApi) -> Iterator[None]:
    """Turns whatever goes wrong with the server into one line.

    Raises:
        SettingsError: If there is no such name of a repository, or no such revision.
        DistillError: If the server cannot be reached, or refuses.
    """
    from huggingface_hub import errors

    login = "log in with 'hf auth login', or set HF_TOKEN"
    try:
        yield
    except (DistillError, MemoryError):
        raise
    except errors.HFValidationError as error:
        raise SettingsError(f"{repo!r} is no repository's name: expected OWNER/NAME ({error}).") from error
    except errors.RevisionNotFoundError as error:
        raise SettingsError(
            f"{repo} has no revision {revision!r}: expected a branch, a tag or a commit."
        ) from error
    except (errors.GatedRepoError, errors.RepositoryNotFoundError) as error:
        raise DistillError(
            f"{api.endpoint} shows no dataset repository {repo}: check the name, or, if it is private, {login}."
        ) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise DistillError(f"{api.endpoint} does not let you write to {repo}: {login}.") from error
        if status == CHANGED:
            raise DistillError(f"{repo} was changed at this moment by somebody else: push again.") from error
        said = error.server_message or f"status {status}"
        raise DistillError(f"{api.endpoint} answers with an error ({said}): try again later.") from error
    except OSError as error:
        if error.errno is not None and not isinstance(error, ConnectionError):
            raise  # of our own disk
        raise _unreachable(api, error) from error
    except Exception as error:  # of the library that it talks with
        raise _unreachable(api, error) from error


def _unreachable(api: HfApi, error: Exception) -> DistillError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return DistillError(f"{api.endpoint} cannot be reached ({reason}): check the network, or HF_ENDPOINT.")
