"""Where a file of the repository stands on the site; relative links that leave ``docs/`` are turned to that."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

__all__ = ["ROOT", "place", "turned"]

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(?<!`)(!?\[[^\]\n]*\])\((?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?\)")
PAGES = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
FOLDERS = {"docs/": "", "datasets/cards/": "cards/"}


def place(path: str) -> str | None:
    """Returns the place on the site of a file, by its path in the repository; None if the site does not have it."""
    if path in PAGES:
        return PAGES[path]
    if path.rstrip("/") == "datasets/cards":
        return "cards/index.md"
    for folder, there in FOLDERS.items():
        if path.startswith(folder):
            return there + path[len(folder) :]
    if path.startswith("examples/") and path.endswith(".py"):
        return f"examples/{Path(path).stem}.md"
    return None


def turned(text: str, source: str, page: str) -> str:
    """Returns Markdown whose links hold on the site.

    Args:
        text: Markdown.
        source: Path in the repository of the file that it was written for.
        page: The place of the page on the site.
    """

    def link(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2]))
        there = place(target)
        if there is None:
            return match[0]  # the strict build says so
        return f"{match[1]}({posixpath.relpath(there, posixpath.dirname(page) or '.')}{match[3] or ''})"

    return LINK.sub(link, text)
