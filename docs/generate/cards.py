"""Cards of datasets and experts, from ``datasets/cards``, the recipes, the experts' JSON and the files themselves."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curves import curve_plot
from links import ROOT, turned

from d3rlpy_distill import Distilled
from d3rlpy_distill.catalogue import DATASETS
from d3rlpy_distill.report import save_gallery

__all__ = ["card_names", "card_pages"]

CARDS = ROOT / "datasets" / "cards"
BUNDLED = ROOT / "datasets" / "procgen_datasets"
MOVED = (
    "Each column shows the real frame that a sample started from, the synthetic frame, and the change times four."
)
REAL = "They are real frames; their labels are distilled."


def card_names() -> list[str]:
    """Returns the names of all cards, sorted; those of policies end in ``-policy``."""
    return sorted(path.stem for path in CARDS.glob("*.md"))


def card_pages() -> Iterator[tuple[str, str | bytes]]:
    """Yields the place on the site and the content of every page and picture."""
    yield "cards/index.md", _index()
    for name in card_names():
        text = (CARDS / f"{name}.md").read_text()
        page = f"cards/{name}.md"
        parts = [turned(text, f"datasets/cards/{name}.md", page).rstrip()]
        bundled = BUNDLED / "distilled" / f"{name}.h5"
        if bundled.exists():
            distilled = Distilled.load(bundled)
            yield f"cards/{name}.png", _gallery(distilled)
            shown = MOVED if distilled.initial is not None else REAL
            parts.append(f"## Samples\n\nThirty of the samples. {shown}\n\n![Samples of {name}]({name}.png)")
        film = CARDS / f"{name}.gif"
        if film.exists():
            yield f"cards/{film.name}", film.read_bytes()
            parts.insert(1, f"![{name} plays]({film.name})")
        run = name.removesuffix("-policy").removesuffix("-expert")
        if name.endswith("-policy") and (curve := curve_plot(run)) is not None:
            yield f"cards/{name}-curve.png", curve
            parts.append(f"## Curve\n\n![Returns of {run} while it was trained]({name}-curve.png)")
        recipe = BUNDLED / "recipes" / f"{name}.toml"
        if recipe.exists():
            parts.append(f"## Recipe\n\n```toml\n{recipe.read_text().strip()}\n```")
        expert = BUNDLED / "experts" / f"{run}.json"
        if name.endswith("-policy") and expert.exists():
            parts.append(_settings(json.loads(expert.read_text())))
        yield page, "\n\n".join(parts) + "\n"


def _index() -> str:
    lines = {entry.name: entry.line for entry in DATASETS.entries()}
    datasets = [f"| [{name}]({name}.md) | {lines[name]} |" for name in card_names() if name in lines]
    policies = [f"- [{name}]({name}.md)" for name in card_names() if name.endswith("-policy")]
    return "\n".join(
        [
            "# Dataset and expert cards",
            "",
            'A name is all you need: `dd.load("starpilot-expert")` makes the dataset, or reads it where it is bundled.',
            "",
            "## Datasets",
            "",
            "| name | what |",
            "| --- | --- |",
            *datasets,
            "",
            "## Policies",
            "",
            *policies,
            "",
            "[Experts](../experts.md) says how they were trained.",
            "",
        ]
    )


def _gallery(distilled: Distilled) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "gallery.png"
        save_gallery(distilled, path)
        return path.read_bytes()


def _settings(card: dict[str, Any]) -> str:
    flat = {key: value for key, value in card.items() if key not in ("settings", "returns")} | card["settings"]
    rows = [f"| {key.replace('_', ' ')} | {_cell(value)} |" for key, value in flat.items()]
    return "\n".join(["## Settings of the training", "", "| setting | value |", "| --- | --- |", *rows])


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value).replace("|", "\\|")
