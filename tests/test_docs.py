"""The documentation: links hold on disk; the site builds strictly and loads nothing from elsewhere."""

from __future__ import annotations

import html.parser
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

from rld_distill.group import COMMANDS, cli

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "datasets" / "cards").glob("*.md")])
LINK = re.compile(r"!?\[[^\]\n]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.DOTALL | re.MULTILINE)
GENERATED = ("reference/",)
"""Folders of the site that hold generated pages only; the strict build checks links to them."""
LOADING = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}

needs_docs = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("material", "mkdocstrings", "latex2mathml")),
    reason="the extra 'docs' is not installed",
)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site name them."""
    found: dict[str, int] = {}
    for heading in re.findall(
        r"^#{1,6} (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.M
    ):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
    return {f"{slug}{f'-{n}' if n else ''}" for slug, count in found.items() for n in range(count + 1)}


def broken(page: Path, text: str) -> list[str]:
    """The relative links of a page that lead nowhere on disk."""
    bad = []
    for link in LINK.findall(CODE.sub("", text)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        if path.startswith(GENERATED) and page.parent == ROOT / "docs":
            continue
        target = page.parent / path
        there = target.exists()
        if there and anchor and (not path or target.suffix == ".md"):
            there = anchor in anchors(target.read_text() if path else text)
        if not there:
            bad.append(link)
    return bad


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page, page.read_text()) == []


def test_links_that_lead_nowhere_are_found() -> None:
    text = "# A b: c\n[1](nowhere.md) [2](docs/methods.md#nothing) [3](#a-b-c) [4](docs/methods.md) `[5](code.md)`"
    assert broken(ROOT / "README.md", text + "\n[6](#a-b)") == ["nowhere.md", "docs/methods.md#nothing", "#a-b"]


def test_the_citation_names_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {project['version']}\n" in citation and f"\nlicense: {project['license']}\n" in citation
    assert all(f'"{author["name"]}"' in citation for author in project["authors"])


class _Loaded(html.parser.HTMLParser):
    """Collects what a page loads when it is opened, and its headings' anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        url = given.get(LOADING.get(tag, ""))
        if url:
            self.urls.append(url)
        if given.get("id"):
            self.anchors.add(str(given["id"]))


def read(page: Path) -> _Loaded:
    parser = _Loaded()
    parser.feed(page.read_text())
    return parser


def elsewhere(urls: list[str]) -> list[str]:
    """Those of other hosts."""
    return [url for url in urls if re.match(r"(\w+:)?//", url)]


def test_what_a_page_loads_from_elsewhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        '<link rel="stylesheet" href="https://fonts.example/css"><script src="//cdn.example/x.js"></script>'
        '<img src="plots/a.png"><a href="https://arxiv.org"></a><script src="assets/b.js"></script>'
    )
    assert elsewhere(read(page).urls) == ["https://fonts.example/css", "//cdn.example/x.js"]


def check_pages(site: Path) -> None:
    for source in (ROOT / "docs").rglob("*.md"):
        assert (site / source.relative_to(ROOT / "docs").with_suffix(".html")).exists(), source
    for card in (ROOT / "datasets" / "cards").glob("*.md"):
        assert (site / "cards" / f"{card.stem}.html").exists(), card
    for example in (ROOT / "examples").glob("*.py"):
        assert (site / "examples" / f"{example.stem}.html").exists(), example
    for result in (ROOT / "benchmarks" / "results").glob("*.npz"):
        if result.stem.endswith("sweep"):  # has its plot in the text
            continue
        assert (site / "plots" / f"{result.stem}.png").read_bytes().startswith(b"\x89PNG"), result
    for distilled in (ROOT / "datasets" / "procgen_datasets" / "distilled").glob("*.h5"):
        assert (site / "cards" / f"{distilled.stem}.png").exists(), distilled
    assert (site / "search" / "search_index.js").exists()  # the search works without a server


def check_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        loaded = read(page).urls
        assert elsewhere(loaded) == [], page
        for url in loaded:
            local = page.parent / unquote(url.partition("?")[0].partition("#")[0])
            assert url.startswith("data:") or local.exists() or page.name == "404.html", (page, url)
    for style in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", style.read_text()), style


def check_commands(site: Path) -> None:
    page = site / "reference" / "commands.html"
    found = read(page).anchors
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        children = sorted(command.commands) if isinstance(command, click.Group) else []
        for full in (name, *(f"{name} {child}" for child in children)):
            assert f"rld-distill-{full.replace(' ', '-')}" in found, full
    text = page.read_text()
    assert "--n-teachers" in text and "--window" in text  # options of methods
    assert not re.search(r"\[/?(?:bold|dim|red|green|yellow|cyan)[^\]]*\]", text)  # rich's markup


def check_formulas(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert 'class="arithmatex"' not in text, page
    assert (site / "how-it-works.html").read_text().count("<math") > 10
    methods = (site / "reference" / "d3rlpy_distill.html").read_text()
    assert "<math" in methods and ":class:" not in methods and ".. math::" not in methods


@needs_docs
def test_the_site(tmp_path: Path) -> None:
    """Built once, because it takes half a minute: strictly, so that a broken link or docstring fails it."""
    site = tmp_path / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    check_pages(site)
    check_nothing_is_loaded_from_elsewhere(site)
    check_commands(site)
    check_formulas(site)
