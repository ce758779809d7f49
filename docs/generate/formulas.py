"""Formulas become MathML when the site is built: browsers draw it themselves, and no script is loaded."""

from __future__ import annotations

import html
import re

from latex2mathml.converter import convert

__all__ = ["drawn"]

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def drawn(page: str) -> str:
    """Returns HTML with MathML in the place of what ``pymdownx.arithmatex`` has marked as a formula."""

    def converted(match: re.Match[str]) -> str:
        formula = html.unescape(match[3]).strip().replace(r"\arg\min", r"\operatorname{argmin}")  # no \arg there
        return str(convert(formula, display="inline" if match[2] == "(" else "block"))

    return FORMULA.sub(converted, page)
