"""The verdicts of tickets as the report shows them: mark, terminal style, and meaning.

The words and the rule behind them are in `lthsweep.reduce.decision`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lthsweep.reduce.decision import Verdict

__all__ = ["MATCHING", "TICKET_VERDICTS", "VerdictStyle", "definitions", "points_of"]


@dataclass(frozen=True)
class VerdictStyle:
    """How one verdict is shown.

    Attributes:
        mark: one character of DejaVu Sans, so that figures need no other font.
        terminal: a rich style; the word is always printed too, so color is never the only sign.
        meaning: a sentence with `{margin}` and `{confidence}` to fill in.
    """

    mark: str
    terminal: str
    meaning: str


TICKET_VERDICTS: Mapping[Verdict, VerdictStyle] = {
    Verdict.WINNING: VerdictStyle(
        "★",
        "bold green",
        "Matching, and its remaining weights were rewound to initialization (k = 0): a winning ticket in the "
        "sense of Frankle & Carbin (2019).",
    ),
    Verdict.MATCHING: VerdictStyle(
        "✓",
        "green",
        "The whole {confidence} interval of the difference is at or above −{margin}: the ticket is not "
        "worse than its dense run by more than the margin. At sparsity 0 it is the dense run, which matches itself.",
    ),
    Verdict.NOT_MATCHING: VerdictStyle(
        "✗",
        "red",
        "The whole {confidence} interval is below −{margin}, or a ticket diverged where its dense run did not.",
    ),
    Verdict.UNDECIDED: VerdictStyle(
        "?",
        "yellow",
        "The interval contains −{margin}; or a single seed gives no interval; or there are two seeds with exactly "
        "equal differences, at or above −{margin}, which can be a coincidence. More seeds can decide these. Or a "
        "dense run diverged, so its tickets have nothing to be compared with.",
    ),
    Verdict.FAILED: VerdictStyle(
        "!",
        "bold magenta",
        "No seed has a result, and a run of at least one seed, or a run that it needs, failed: it crashed until its "
        "attempts were used up, or had an error that is not retried.",
    ),
    Verdict.DAMAGED: VerdictStyle(
        "#",
        "bold magenta",
        "No seed can be compared, and the record of at least one run is damaged: `lthsweep doctor` names it.",
    ),
    Verdict.MISSING: VerdictStyle("·", "dim", "No result yet: planned, and not trained so far."),
}
"""The verdicts of a ticket, in the order of every list."""

MATCHING = (Verdict.WINNING, Verdict.MATCHING)


def definitions(margin: float, confidence: float) -> dict[str, str]:
    """Verdict → its meaning for a margin and a confidence (fractions)."""
    filled = {"margin": points_of(margin), "confidence": f"{100 * confidence:g} %"}
    return {name: style.meaning.format(**filled) for name, style in TICKET_VERDICTS.items()}


def points_of(margin: float) -> str:
    """A margin in words: 0.002 → "0.2 points", 0.01 → "1 point"."""
    text = f"{100 * margin:g}"
    return f"{text} point{'' if text == '1' else 's'}"
