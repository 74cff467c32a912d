"""The six verdicts of a grid point: what each means, its mark, its colors; one place for all renderings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["MATCHING", "VERDICTS", "Verdict", "definitions", "points_of"]


@dataclass(frozen=True)
class Verdict:
    """How one verdict is shown.

    Attributes:
        mark: one character that DejaVu Sans has, so that a figure needs no other font.
        terminal: a rich style; the word is always printed too, so nothing hangs on color.
        meaning: a sentence with `{margin}` and `{confidence}` to fill in.
    """

    mark: str
    terminal: str
    meaning: str


VERDICTS: Mapping[str, Verdict] = {
    "winning": Verdict(
        "★",
        "bold green",
        "Matching, and its surviving weights went back to initialization (k = 0): a winning ticket in the "
        "sense of Frankle & Carbin (2019).",
    ),
    "matching": Verdict(
        "✓",
        "green",
        "The whole {confidence} interval of the difference lies at or above −{margin}: the ticket is not "
        "worse than its dense run by more than the margin.",
    ),
    "not matching": Verdict(
        "✗",
        "red",
        "The whole {confidence} interval lies below −{margin}, or a ticket diverged where its dense run "
        "did not.",
    ),
    "undecided": Verdict(
        "?",
        "yellow",
        "The interval contains −{margin}, or one seed alone gives no interval. More seeds may decide it.",
    ),
    "failed": Verdict(
        "!",
        "bold magenta",
        "No result, because training crashed as often as it may: a fact about machines, not about tickets.",
    ),
    "missing": Verdict("·", "dim", "No result yet: planned, and not trained so far."),
}
"""In the order in which they are listed everywhere."""

MATCHING = ("winning", "matching")
"""The verdicts that say yes."""


def definitions(margin: float, confidence: float) -> dict[str, str]:
    """Verdict → its meaning, with the sweep's margin and confidence (both fractions) written in."""
    filled = {"margin": points_of(margin), "confidence": f"{100 * confidence:g} %"}
    return {name: verdict.meaning.format(**filled) for name, verdict in VERDICTS.items()}


def points_of(margin: float) -> str:
    """A margin in words: 0.002 → "0.2 points", 0.01 → "1 point"."""
    text = f"{100 * margin:g}"
    return f"{text} point{'' if text == '1' else 's'}"
