"""What ``mkdocs`` calls while it builds the site: generated pages join those of ``docs/``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import structlog
from formulas import drawn
from links import PAGES, ROOT, turned
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from plots import plots, with_plots
from reference import MODULES, reference_pages

from cards import card_names, card_pages
from commands import command_page

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # d3rlpy logs every load
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Lists generated pages in the navigation, where ``mkdocs.yml`` names their folder."""
    cards = [{name: f"cards/{name}.md"} for name in card_names()]
    folders = {
        "cards/": [
            "cards/index.md",
            {"Datasets": [card for card in cards if not min(card).endswith("-policy")]},
            {"Policies": [card for card in cards if min(card).endswith("-policy")]},
        ],
        "examples/": [{path.name: f"examples/{path.stem}.md"} for path in EXAMPLES],
        "reference/": ["reference/index.md", *({module: f"reference/{module}.md"} for module in MODULES)],
    }

    def filled(entry: Any) -> Any:
        if isinstance(entry, dict):
            return {title: filled(value) for title, value in entry.items()}
        if isinstance(entry, list):
            listed = [filled(value) for value in entry]
            return [one for value in listed for one in (value if isinstance(value, list) else [value])]
        return folders.get(entry, entry)

    config.nav = filled(config.nav)
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the generated pages and pictures."""
    for place, content in _generated():
        files.append(File.generated(config, place, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Adds plots to tables, and turns links that leave ``docs/``."""
    if page.file.generated_by is not None:
        return markdown
    return with_plots(turned(markdown, f"docs/{page.file.src_uri}", page.file.src_uri))


def on_page_content(html: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Draws formulas."""
    return drawn(html)


def _generated() -> Iterator[tuple[str, str | bytes]]:
    yield from card_pages()
    yield from plots()
    yield from reference_pages()
    yield "reference/commands.md", command_page()
    for source in ("CHANGELOG.md", "CONTRIBUTING.md"):
        yield PAGES[source], turned((ROOT / source).read_text(), source, PAGES[source])
    for path in EXAMPLES:
        code = path.read_text()
        title = (ast.get_docstring(ast.parse(code)) or path.stem).splitlines()[0].rstrip(".")
        text = f"# {path.name}\n\n{title}. The tests run it.\n\n```python\n{code.strip()}\n```\n"
        yield f"examples/{path.stem}.md", text
