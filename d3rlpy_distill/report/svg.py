"""Figures as SVG that stands inside a page: in its font and in its own colour of text, light or dark."""

from __future__ import annotations

import io
import re
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["inline_svg"]

WIDTH_A_INCH = 72


def inline_svg(figure: Figure, told: str, number: int) -> str:
    """Returns a figure as an ``<svg>`` element.

    What is black in the figure has the colour of the page's text. Text stays text.

    Args:
        figure: What to draw.
        told: What it shows, for those who do not see it.
        number: One of its own in its page: it keeps the names inside apart from those of other figures.
    """
    import matplotlib

    out = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"figure {number}"}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    drawn = out.getvalue()
    drawn = drawn[drawn.index("<svg") :].strip()
    # the style would be that of everything else on the page, too
    for part in ("metadata", "style"):
        drawn = re.sub(rf"<{part}\b.*?</{part}>", "", drawn, count=1, flags=re.DOTALL)
    drawn = re.sub(r"(<text style=\"[^\"]*?) font-family: [^;\"]*;?", r"\1", drawn)  # the page's own
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", drawn))
    drawn = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", drawn)
    body = re.sub(r"#000000\b", "currentColor", drawn[drawn.index(">") + 1 :])
    width, height = (WIDTH_A_INCH * size for size in figure.get_size_inches())
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img" '
        f'fill="currentColor" stroke-linejoin="round" viewBox="0 0 {width:.2f} {height:.2f}" '
        f'width="{width:.0f}" height="{height:.0f}" aria-label="{escape(told)}">'
    )
    return head + body
