"""An SVG file as markup for a page: no external addresses, unique ids, the colors of the page."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from lthsweep.report.style import INK, MUTED, PAPER, RULE

__all__ = ["inline_svg"]

_THEME = {INK: "var(--ink)", MUTED: "var(--muted)", PAPER: "var(--paper)", RULE: "var(--rule)"}

_ZOOM = 1.3  # 8 points suit paper, and are small on a screen

# HTML needs none of these, and each holds an address or a text that the page must not contain.
_DROPPED = re.compile(
    r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>|\sxmlns(?::\w+)?=\"[^\"]*\"|\sversion=\"1.1\"",
    re.DOTALL,
)


def inline_svg(svg: bytes, *, prefix: str, alt: str) -> Markup:
    """Prepare one figure for a page that holds several.

    Args:
        svg: from `lthsweep.report.style.render`.
        prefix: put before all ids, because matplotlib uses the same ids in every figure; letters, digits, "-".
        alt: the text alternative, not escaped.

    Returns:
        An `<svg role="img">` element as wide as the figure, in inches, that can shrink.
    """
    text = _DROPPED.sub("", svg.decode())
    text = text.replace("xlink:href", "href")
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", text)
    for color, variable in _THEME.items():
        text = text.replace(color, variable)
    width = re.search(r'<svg[^>]*?\bwidth="([\d.]+)pt"', text)
    style = f"width:{_ZOOM * float(width[1]) / 72:.2f}in" if width else ""
    for _ in range(2):  # width and height, in either order
        text = re.sub(r'(<svg[^>]*?)\s(?:width|height)="[\d.]+pt"', r"\1", text)
    opening = f'<svg role="img" aria-label="{escape(alt)}" style="{style}"'
    return Markup(text.strip().replace("<svg", opening, 1))
