"""The Markdown card of an expert, rendered from its JSON card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["card_markdown"]

CURVE_ROWS = 10


def card_markdown(name: str, card: Mapping[str, Any]) -> str:
    """Returns the card as Markdown.

    Args:
        name: Stem of the expert's file.
        card: The JSON card, as :func:`export_expert` writes it.
    """
    levels = card["levels"]
    start = card.get("initial")
    rows = {
        "file": f"`{name}.safetensors`, SHA-256 `{card['sha256']}`",
        "architecture": f"`{card['architecture']}`",
        "environment steps": f"{card['environment_steps']:,}"
        + (f", of which {start['environment_steps']:,} by the expert it started from" if start else ""),
        "trained on": f"levels {levels['start']}-{levels['start'] + levels['num'] - 1}, "
        + card["distribution_mode"],
        "algorithm": card["algorithm"],
        "settings": ", ".join(f"{key} {value}" for key, value in card["settings"].items()),
        "seed": card["seed"],
        "machine": card["machine"],
        "hours of training": f"{card['training_seconds'] / 3600:.1f}",
        "licence": "MIT",
    }
    lines = [f"# {name}: a policy for {card['game']}", "", "| | |", "| --- | --- |"]
    lines += [f"| {key} | {value} |" for key, value in rows.items()]
    lines += ["", "Return, mean ± standard deviation over episodes:", ""]
    lines += ["| levels | sampled | greedy |", "| --- | ---: | ---: |"]
    for split, title in (("train", "training levels"), ("ood", "all levels")):
        cells = [_cell(card["returns"][split][mode]) for mode in ("sampled", "greedy")]
        lines.append(f"| {title} | {cells[0]} | {cells[1]} |")
    curve = card["learning_curve"]
    if curve:
        lines += ["", "Learning curve (the last 100 training episodes; validation levels 200-299, sampled):", ""]
        lines += ["| steps | training levels | validation levels |", "| ---: | ---: | ---: |"]
        every = -(-len(curve) // CURVE_ROWS)
        for point in curve[::-1][::every][::-1]:
            returns = [_number(point[key]) for key in ("train_return", "validation_return")]
            lines.append(f"| {point['steps']:,} | {' | '.join(returns)} |")
    return "\n".join(lines) + "\n"


def _cell(value: Mapping[str, float]) -> str:
    return f"{value['mean']:.2f} ± {value['std']:.2f} ({value['n']} episodes)"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
