"""A report as one page: everything is inside, nothing is fetched."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import importlib.resources
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SettingsError
from ..evaluation.results import Results
from ..methods.distilled import Distilled
from .arm_sizes import arm_sizes_figure, has_sizes
from .contents import Report
from .gallery import gallery_figure, has_images
from .provenance import PACKAGE, commands, facts, version
from .returns import returns_figure
from .size_curve import size_curve_figure
from .svg import inline_svg
from .sweep import sweep_tables
from .table import Table
from .tables import build_tables
from .training import training_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["read_film", "write_html"]

Section = tuple[str, list[str]]
"""A heading, and what stands under it."""


def write_html(report: Report) -> str:
    """Returns the page.

    What files say is shown as text, whatever it is: the page forbids every script but its own, and every address.

    Raises:
        SettingsError: If a film is no GIF.
        DistillError: If an arm is to be compared that an evaluation has not.
    """
    sections = list(_sections(report))
    title = _title(report)
    body = [f"<h1>{escape(title)}</h1>", _contents([name for name, _ in sections])]
    for number, (name, parts) in enumerate(sections):
        body += [f'<section id="part-{number}">', f"<h2>{escape(name)}</h2>", *parts, "</section>"]
    style, script = _resource("page.css"), _resource("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    head = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>",
        f"<style>{style}</style>",
        "</head>",
        "<body>",
    ]
    return "\n".join([*head, "<main>", *body, "</main>", f"<script>{script}</script>", "</body>", "</html>"])


def read_film(path: Path) -> bytes:
    """Returns a GIF file.

    Raises:
        SettingsError: If it is none.
    """
    try:
        film = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"--film {path}: {error.strerror}; make one with 'rld-distill play'.") from error
    if not film.startswith(b"GIF8"):
        raise SettingsError(f"--film {path} is no GIF: expected a film of 'rld-distill play'.")
    return film


def _title(report: Report) -> str:
    names = [one.title for one in (*report.evaluations, *(cell.results for cell in report.cells))]
    what = f"{report.compared} on " if report.compared else ""
    return f"Results: {what}{', '.join(dict.fromkeys(names))}"


def _sections(report: Report) -> Iterator[Section]:
    numbers = itertools.count()

    def drawn(told: str, *figures: Figure) -> str:
        return _figure([inline_svg(figure, told, next(numbers)) for figure in figures], told)

    if report.compared is not None:
        yield report.compared, [_table(table) for table in report.tables]
    for one in report.evaluations:
        told = "Mean return of every arm with its 95% interval; a dot is a student."
        parts = [drawn(told, *(returns_figure([(one, split)]) for split in one.splits))]
        if has_sizes(one):
            parts.append(
                drawn("Mean return against the size of the set, with its 95% interval.", arm_sizes_figure([one]))
            )
        yield _heading(one, report.evaluations), parts + [_table(t) for t in build_tables(one, paper=report.paper)]
    if report.cells:
        told = "Mean return against the number of samples; bars span distillations with different seeds."
        curve = drawn(told, size_curve_figure(report.cells))
        yield "Sweep", [curve, *(_table(table) for table in sweep_tables(report.cells))]
    if report.training:
        told = "Mean return against environment steps."
        yield "Training of the expert", [drawn(told, *map(training_figure, report.training))]
    shown = {name: one for name, one in report.distilled.items() if has_images(one.samples.observations)}
    if shown:
        yield (
            "Gallery",
            [part for name, one in shown.items() for part in _gallery(name, one, drawn(*_frames(name, one)))],
        )
    if report.films:
        yield "Films", [_film(path) for path in report.films]
    every = [*report.evaluations, *_distinct(cell.results for cell in report.cells)]
    yield "How to reproduce", [_commands(every)]
    yield "Provenance", [part for one in every for part in _provenance(one)]


def _heading(results: Results, every: Sequence[Results]) -> str:
    """The task; its student, and its place among those that still have the same name, where there are several."""
    names = [_named(one) for one in every]
    own = _named(results)
    same = [one for one, name in zip(every, names, strict=True) if name == own]
    return own if len(same) == 1 else f"{own} ({1 + next(i for i, one in enumerate(same) if one is results)})"


def _named(results: Results) -> str:
    students = ", ".join(results.students)
    return f"{results.title}, {students}" if students else results.title


def _contents(names: Sequence[str]) -> str:
    links = [f'<li><a href="#part-{number}">{escape(name)}</a></li>' for number, name in enumerate(names)]
    return '<nav aria-label="Contents"><ul>' + "".join(links) + "</ul></nav>"


def _table(table: Table) -> str:
    heads = "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    lines = []
    for first, *rest in table.rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        lines.append(f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>')
    title = escape(table.title)
    return (
        f'<p class="title">{title}</p>\n<div class="box" tabindex="0" role="region" aria-label="{title}">'
        f'<table class="sortable" aria-label="{title}">\n<thead><tr>{heads}</tr></thead>\n<tbody>\n'
        + "\n".join(lines)
        + "\n</tbody></table></div>"
        + (f'<p class="note">{escape(table.note)}</p>' if table.note else "")
    )


def _figure(drawings: Sequence[str], told: str) -> str:
    boxes = [f'<div class="box" tabindex="0" role="region" aria-label="Plot">{svg}</div>' for svg in drawings]
    return f'<figure><div class="plots">{"".join(boxes)}</div><figcaption>{escape(told)}</figcaption></figure>'


def _frames(name: str, distilled: Distilled) -> tuple[str, Figure]:
    figure = gallery_figure(distilled)
    if distilled.views is not None:
        return f"Some frames of {name}, and under them views, each with the likeliest action of its label.", figure
    if distilled.initial is None:
        return f"Some frames of {name}, each with the action that was taken.", figure
    return f"Some frames of {name}: what they started from, what they became, and the change.", figure


def _gallery(name: str, distilled: Distilled, figure: str) -> list[str]:
    labels = "soft labels" if distilled.soft else "actions as labels"
    views = f", and {len(distilled.views):,} views of them" if distilled.views else ""
    return [f"<h3>{escape(name)}: {len(distilled)} samples, {labels}{views}</h3>", figure]


def _film(path: Path) -> str:
    data = base64.b64encode(read_film(path)).decode()
    name = escape(path.stem)
    return (
        f'<figure><img alt="Film of policies: {name}" src="data:image/gif;base64,{data}">'
        f"<figcaption>{name}</figcaption></figure>"
    )


def _commands(every: Sequence[Results]) -> str:
    lines = list(dict.fromkeys(line for one in every for line in commands(one)))
    if not lines:
        return '<p class="note">These results do not record the commands that made them.</p>'
    text = "\n".join(escape(line) for line in lines)
    box = f'<div class="box" tabindex="0" role="region" aria-label="Commands"><pre class="commands">{text}</pre></div>'
    now = importlib.metadata.version(PACKAGE)
    if others := sorted({one for one in map(version, every) if one not in (None, now)}):
        names = escape(f"{PACKAGE} {', '.join(others)}")
        box += (
            f'<p class="note">These commands are those of {names}. In version {now} a dataset of the same name may be '
            "another one: compare the SHA-256 below. 'rld-distill list datasets' shows earlier ones, too.</p>"
        )
    return box


def _provenance(results: Results) -> Iterator[str]:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts(results))
    whole = {"protocol": results.protocol, "provenance": results.provenance}
    text = escape(json.dumps(whole, indent=2, ensure_ascii=False, default=str))
    yield f"<h3>{escape(_named(results))}</h3><dl>{rows}</dl>"
    yield f'<details><summary>Everything that is recorded</summary><div class="box"><pre>{text}</pre></div></details>'


def _distinct(every: Iterable[Results]) -> list[Results]:
    """The cells of a sweep whose commands differ."""
    seen: dict[tuple[str, ...], Results] = {}
    for one in every:
        seen.setdefault(tuple(commands(one)), one)
    return list(seen.values())


def _resource(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
