"""Docstrings are written with Sphinx's roles; mkdocstrings reads Markdown."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

__all__ = ["MarkdownDocstrings", "markdown"]

ROLE = re.compile(r":(?:class|meth|func|data|mod|attr|exc):`(?:[^`<]*<)?~?\.*([^`>]+)>?`")
MATH = re.compile(r":math:`([^`]+)`")
BLOCK = re.compile(r"^( *)\.\. math::\n\n((?:\1 +.*\n|\n)*(?:\1 +.*(?:\n|$)))", re.MULTILINE)
LINK = re.compile(r"`([^`<]+?)\s*<(https?://[^>]+)>`_")
BESIDE = re.compile(r"^( *)Args, beside (?:those|that) of (.+?):$", re.MULTILINE)


def markdown(text: str) -> str:
    """Returns a docstring with Markdown in the place of Sphinx's roles."""
    text = BESIDE.sub(r"\1Beside the arguments of \2:\n\n\1Args:", text)
    text = BLOCK.sub(
        lambda m: f"{m[1]}$$\n{textwrap.indent(textwrap.dedent(m[2]).strip(), m[1])}\n{m[1]}$$\n\n", text
    )
    text = MATH.sub(r"$\1$", text)
    text = LINK.sub(lambda m: f"[{' '.join(m[1].split())}]({m[2]})", text)
    return ROLE.sub(lambda m: f"`{m[1].rsplit('.', 1)[-1]}`", text)


class MarkdownDocstrings(griffe.Extension):
    """Turns every docstring when it is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """A field made by ``option(default, help, ...)`` shows its default alone."""
        value = attr.value
        if isinstance(value, griffe.ExprCall) and str(value.function) == "option" and value.arguments:
            attr.value = value.arguments[0]
