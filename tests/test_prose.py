"""The documents' sentences are short: 25 words at most, without code, tables, captions and where links lead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MOST = 25  # words
BLOCK = re.compile(r"^ *(```|~~~).*?^ *\1|<!--.*?-->", re.DOTALL | re.MULTILINE)
REPLACED = (
    (BLOCK, "\n\n"),
    (re.compile(r"\$\$.*?\$\$", re.DOTALL), "Formula"),
    (re.compile(r"`[^`]+`|\$[^$\n]+\$"), "Code"),  # one word, which may begin a sentence
    (re.compile(r"!\[[^\]]*\]\([^)]*\)"), ""),
    (re.compile(r"\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"\b(et al|arXiv)\. "), r"\1 "),
)
APART = ("|", "#", "---", "!!!", "???")  # rows, headings, rules, titles of boxes
ITEM = re.compile(r"(?:[-*+]|\d+\.) ")
CAPTION = re.compile(r"\*\*.*\*\*\Z")
END = re.compile(r"(?<=[.!?])[*_)\"']*\s+(?=[\"'(*A-Z0-9])")


def paragraphs(text: str) -> Iterator[str]:
    """The prose of a page; each item of a list is a paragraph."""
    for pattern, instead in REPLACED:
        text = pattern.sub(instead, text)
    found: list[list[str]] = [[]]
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith(APART):
            found.append([])
        elif (item := ITEM.match(line)) is not None:
            found.append([line[item.end() :]])
        else:
            found[-1].append(line)
    yield from (" ".join(lines) for lines in found if lines)


def long_sentences(text: str) -> list[str]:
    """Those of more words than a reader takes in at once."""
    sentences = [one for part in paragraphs(text) if not CAPTION.match(part) for one in END.split(part)]
    return [one for one in sentences if sum(bool(re.search(r"\w", word)) for word in one.split()) > MOST]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_sentences_are_short(page: Path) -> None:
    assert long_sentences(page.read_text()) == []


def test_long_sentences_are_found() -> None:
    few, many = " ".join(["word"] * MOST), " ".join(["word"] * (MOST + 1))
    assert long_sentences(f"{few}. {few.capitalize()}. `code` {few[5:]}.\n- {few}\n- {few}\n") == []
    assert long_sentences(f"| {many} |\n\n```\n{many}\n```\n\n# {many}\n\n**{many}**\n<!-- {many} -->") == []
    for text in (f"{many}.", f"- {many}", f"Short. [{many}](a.md), and so.", f"A\n{many}\nb."):
        assert len(long_sentences(text)) == 1, text
