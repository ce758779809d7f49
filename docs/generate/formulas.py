"""Formulas become MathML when the site is built: browsers draw it themselves, and no script is loaded."""

from __future__ import annotations

import html
import re

from latex2mathml.converter import convert

__all__ = ["drawn"]

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def drawn(page: str) -> str:
    """Returns HTML with MathML in the place of what ``pymdownx.arithmatex`` has marked as a formula."""

    def formula(match: re.Match[str]) -> str:
        return str(convert(html.unescape(match[3]).strip(), display="inline" if match[2] == "(" else "block"))

    return FORMULA.sub(formula, page)
