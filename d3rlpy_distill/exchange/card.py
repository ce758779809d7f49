"""The card of a dataset in a repository: what it is, how it was made, how it is used and verified."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from ..data import DatasetInfo
from ..errors import SettingsError

__all__ = ["CardFacts", "describes", "front_matter", "merged", "section"]

BEGIN, END = "<!-- d3rlpy-distill {name} -->", "<!-- end of {name} -->"
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
LARGEST = "n>1M"
LONGEST = 200  # characters of a setting in the table of settings
FRONT = re.compile(r"---\n.*?\n---\n", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class CardFacts:
    """What a card says of a file.

    Args:
        repo: The repository, ``"OWNER/NAME"``.
        name: The file's name in it.
        info: What the file says of itself; with provenance.
        shape: Of one observation.
        dtype: Of observations.
        discrete: Whether actions are discrete.
        soft: Whether samples carry soft labels.
        views: How many labelled views of the samples there are.
        n_bytes: Size of the file.
        sha256: Hash of the file.
        picture: Name of a picture of samples in the repository, or None.
    """

    repo: str
    name: str
    info: DatasetInfo
    shape: tuple[int, ...]
    dtype: str
    discrete: bool
    soft: bool
    views: int
    n_bytes: int
    sha256: str
    picture: str | None = None


def front_matter(facts: CardFacts, licence: str | None) -> str:
    """Returns the YAML that a repository's card begins with, in JSON's notation, which YAML contains.

    Args:
        facts: Of the file.
        licence: One of Hugging Face's identifiers, such as ``"mit"``; None says nothing.
    """
    count = facts.info.num_transitions or 0
    fields: dict[str, object] = {
        "pretty_name": facts.repo.rpartition("/")[2],
        "task_categories": ["reinforcement-learning"],
        "tags": [
            "reinforcement-learning",
            "offline-rl",
            "d3rlpy",
            "d3rlpy-distill",
            *(["dataset-distillation"] if _kind(facts) == "distilled" else []),
        ],
        "size_categories": [next((name for limit, name in SIZES if count < limit), LARGEST)],
    }
    if licence is not None:
        if not re.fullmatch(r"[a-z0-9.+-]{1,40}", licence):
            raise SettingsError(f"license {licence!r}: expected an identifier such as mit or cc-by-4.0.")
        fields["license"] = licence
    lines = [f"{key}: {json.dumps(value)}" for key, value in fields.items()]
    return "\n".join(["---", *lines, "---", ""])


def section(facts: CardFacts) -> str:
    """Returns the part of a card that describes one file, between two marks, as Markdown."""
    info, stem = facts.info, facts.name.rpartition(".")[0]
    provenance = info.provenance
    assert provenance is not None
    distilled = _kind(facts) == "distilled"
    actions = f"{info.action_size} {'discrete' if facts.discrete else 'dimensions, continuous'}"
    rows = {
        "task": f"`{_plain(provenance.task)}`" if provenance.task else "not recorded",
        "size": f"{info.num_transitions} one-step episodes"
        if distilled
        else f"{info.num_episodes} episodes, {info.num_transitions} steps",
        "observations": f"{facts.dtype} `{facts.shape}`",
        "actions": actions + (", with soft labels: `steps/action_probabilities`" if facts.soft else ""),
        **(
            {"views": f"{facts.views:,} composites of the samples, each with a label: `views`"}
            if facts.views
            else {}
        ),
        "mean return of an episode": "the return-to-go of a sample's source"
        if distilled
        else f"{info.return_mean:.2f}",
        "bytes": f"{facts.n_bytes:,}",
        "SHA-256 of the file": f"`{facts.sha256}`",
        "SHA-256 of the episodes": f"`{info.content_sha256}`",
    }
    what = (
        f"{info.num_transitions} samples that a policy is trained on in the place of {_source(provenance.settings)}."
        if distilled
        else f"{info.num_episodes} episodes ({provenance.kind}) for offline reinforcement learning."
    )
    load = f'Distilled.load("data/{facts.name}")' if distilled else f'load("data/{facts.name}")'
    parts = [
        BEGIN.format(name=facts.name),
        f"# {stem}",
        what,
        "\n".join(["| | |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in rows.items())]),
        *([f"![Samples]({facts.picture})"] if facts.picture else []),
        "## Use",
        _fenced(
            "sh",
            f"pip install 'd3rlpy-distill[hub]'\nrld-distill pull {facts.repo} --file {facts.name} --sha256 "
            f"{facts.sha256}",
        ),
        _fenced("python", f"import d3rlpy_distill as dd\n\ndataset = dd.{load}"),
        "It is d3rlpy's HDF5, version 2.1: stock d3rlpy loads it, too.",
        "## How it was made",
        _fenced("sh", provenance.command or "# in Python"),
        _fenced("json", json.dumps(_short(provenance.settings), indent=1)),
        "With " + ", ".join(f"{_plain(key)} {_plain(value)}" for key, value in provenance.packages.items()) + ".",
        END.format(name=facts.name),
    ]
    return "\n\n".join(parts) + "\n"


def describes(card: str, name: str) -> bool:
    """Tells whether a card has a section of ours about a file of this name."""
    return BEGIN.format(name=name) in card


def merged(card: str | None, facts: CardFacts, licence: str | None) -> str:
    """Returns a repository's card with a file's section in it: replaced, or added at the end; the rest stays.

    Args:
        card: What is there; None if nothing is.
        facts: Of the file.
        licence: See :func:`front_matter`; for a new card alone.
    """
    new = section(facts)
    if card is None:
        return front_matter(facts, licence) + "\n" + new
    begin, end = BEGIN.format(name=facts.name), END.format(name=facts.name)
    start, stop = card.find(begin), card.find(end)
    if 0 <= start < stop:
        return card[:start] + new.rstrip("\n") + card[stop + len(end) :]
    head = "" if FRONT.match(card) else front_matter(facts, licence) + "\n"
    return head + card.rstrip("\n") + "\n\n" + new


def _kind(facts: CardFacts) -> str:
    return facts.info.provenance.kind if facts.info.provenance else "imported"


def _source(settings: Mapping[str, Any]) -> str:
    source = settings.get("source")
    return f"`{_plain(source)}`" if source else "a dataset"


def _short(value: Any) -> Any:
    """Settings without what fills pages: networks, states of generators."""
    if isinstance(value, Mapping):
        return {str(key): _short(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, str)) and len(value) > LONGEST:
        return f"... ({len(value)} {'characters' if isinstance(value, str) else 'values'}, in the file)"
    return value


def _plain(text: object) -> str:
    """One line without what Markdown would read as markup."""
    return re.sub(r"[`|<>\[\]\\]", " ", " ".join(str(text).split()))


def _fenced(language: str, text: str) -> str:
    """A block of code whose fence is longer than any in the text: provenance is what a file says."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
