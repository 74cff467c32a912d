"""A rendered SVG file → markup for a page: no foreign addresses, own ids, the page's colors."""

from __future__ import annotations

import re
from html import escape

from lthsweep.report.style import INK, MUTED, PAPER, RULE

__all__ = ["inline_svg"]

_THEME = {INK: "var(--ink)", MUTED: "var(--muted)", PAPER: "var(--paper)", RULE: "var(--rule)"}

_ZOOM = 1.3  # the 8 points that suit paper are small on a screen

# In HTML none of these is needed, and each is an address or a text that the page does not want.
_DROPPED = re.compile(
    r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>|\sxmlns(?::\w+)?=\"[^\"]*\"|\sversion=\"1.1\"",
    re.DOTALL,
)


def inline_svg(svg: bytes, *, prefix: str, alt: str) -> str:
    """Make one figure fit for a page that holds several.

    Args:
        svg: as `lthsweep.report.style.render` gives it.
        prefix: put before all ids, which matplotlib chooses alike in every figure; letters, digits, "-".
        alt: the text alternative; escaped here.

    Returns:
        An `<svg role="img">` element whose width follows the figure's own, in inches, and may shrink.
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
    text = re.sub(r'(<svg[^>]*?)\s(?:width|height)="[\d.]+pt"', r"\1", text)
    text = re.sub(r'(<svg[^>]*?)\s(?:width|height)="[\d.]+pt"', r"\1", text)
    return text.strip().replace("<svg", f'<svg role="img" aria-label="{escape(alt)}" style="{style}"', 1)
